/* Rows through one linear map, and back; inputs and outputs are whole vectors. */

#include "dense.h"

typedef struct {
  index_t inputs, outs;
  const float *x, *w, *b; /* w (outs, inputs); b may be NULL */
  float *out;
} linear;

typedef struct {
  const float *out;
  float *x, *w, *b; /* x written, may be NULL; w and b added to, b may be NULL */
} linear_gradients;

int linear_forward(const linear *c, index_t begin, index_t end) {
  const index_t in = c->inputs, outs = c->outs;
  arena memory;
  if (!arena_open(&memory, in * outs + outs + 32)) return 0;
  float *w = take(&memory, in * outs), *b = take(&memory, outs);
  pack_transposed(outs, in, c->w, w);
  if (c->b) memcpy(b, c->b, sizeof(float) * (size_t)outs);
  else memset(b, 0, sizeof(float) * (size_t)outs);
  const index_t step = block_rows(in > outs ? in : outs);
  for (index_t at = begin; at < end; at += step) {
    const index_t rows = end - at < step ? end - at : step;
    multiply(rows, in, outs, c->x + at * in, in, w, c->out + at * outs, outs, b);
  }
  free(memory.base);
  return 1;
}

int linear_backward(const linear *c, linear_gradients *g, index_t begin, index_t end) {
  const index_t in = c->inputs, outs = c->outs, step = block_rows(in > outs ? in : outs);
  for (index_t at = begin; at < end; at += step) {
    const index_t rows = end - at < step ? end - at : step;
    const float *out = g->out + at * outs;
    if (g->x) multiply_bare(rows, outs, in, out, outs, c->w, g->x + at * in, in);
    outer_add(rows, outs, in, out, outs, c->x + at * in, in, g->w);
    if (g->b) add_rows(rows, outs, out, g->b);
  }
  return 1;
}
