/* Rows through Linear, SiLU, Linear, and back; the input in up to two pieces side by side. */

#include "dense.h"

typedef struct {
  index_t hidden, outs, inputs[2];
  const float *x[2], *w1[2], *b1, *w2, *b2; /* maps (outputs, inputs), each w1 contiguous */
  float *out;
} perceptron;

typedef struct {
  const float *out;
  float *x[2];                     /* written; NULL without a gradient */
  float *w1[2], *b1, *w2, *b2;     /* added to; w1 as (inputs, hidden), w2, b2 padded rows */
} perceptron_gradients;

typedef struct {
  index_t rows, outs_wide, wide[2];
  float *w1[2], *w1_back[2], *w2, *b2, *first, *first_silu, *out, *back, *x_back;
  arena memory;
} stack;

static int stack_open(stack *s, const perceptron *c) {
  const index_t h = c->hidden, rows = block_rows(h), ow = padded(c->outs);
  index_t weights = h * ow + ow, widest = 0;
  for (int k = 0; k < 2; k++) {
    s->wide[k] = padded(c->inputs[k]);
    weights += c->inputs[k] * h + h * s->wide[k] + 32;
    if (s->wide[k] > widest) widest = s->wide[k];
  }
  if (!arena_open(&s->memory, weights + rows * (3 * h + 2 * ow + widest) + 12 * 16)) return 0;
  s->rows = rows, s->outs_wide = ow;
  for (int k = 0; k < 2; k++) {
    if (!c->inputs[k]) continue;
    s->w1[k] = take(&s->memory, c->inputs[k] * h);
    s->w1_back[k] = take(&s->memory, h * s->wide[k]);
    pack_transposed(h, c->inputs[k], c->w1[k], s->w1[k]);
    pack(h, c->inputs[k], c->w1[k], s->w1_back[k]);
  }
  s->w2 = take(&s->memory, h * ow);
  s->b2 = take(&s->memory, ow);
  pack_transposed(c->outs, h, c->w2, s->w2);
  pack(1, c->outs, c->b2, s->b2);
  s->first = take(&s->memory, rows * h);
  s->first_silu = take(&s->memory, rows * h);
  s->back = take(&s->memory, rows * h);
  s->out = take(&s->memory, 2 * rows * ow);
  s->x_back = take(&s->memory, rows * widest);
  return 1;
}

static void first_layer(stack *s, const perceptron *c, index_t at, index_t rows) {
  const index_t h = c->hidden;
  multiply(rows, c->inputs[0], h, c->x[0] + at * c->inputs[0], c->inputs[0], s->w1[0], s->first,
           h, c->b1);
  if (c->inputs[1])
    multiply_add(rows, c->inputs[1], h, c->x[1] + at * c->inputs[1], c->inputs[1], s->w1[1],
                 s->first, h);
}

int perceptron_forward(const perceptron *c, index_t begin, index_t end) {
  stack s;
  if (!stack_open(&s, c)) return 0;
  const index_t h = c->hidden, ow = s.outs_wide;
  for (index_t at = begin; at < end; at += s.rows) {
    const index_t rows = end - at < s.rows ? end - at : s.rows;
    first_layer(&s, c, at, rows);
    silu(rows * h, s.first, s.first_silu);
    if (ow == c->outs) {
      multiply(rows, h, ow, s.first_silu, h, s.w2, c->out + at * ow, ow, s.b2);
      continue;
    }
    multiply(rows, h, ow, s.first_silu, h, s.w2, s.out, ow, s.b2);
    for (index_t r = 0; r < rows; r++)
      memcpy(c->out + (at + r) * c->outs, s.out + r * ow, sizeof(float) * (size_t)c->outs);
  }
  free(s.memory.base);
  return 1;
}

int perceptron_backward(const perceptron *c, perceptron_gradients *g, index_t begin,
                        index_t end) {
  stack s;
  if (!stack_open(&s, c)) return 0;
  const index_t h = c->hidden, ow = s.outs_wide;
  float *out_back = s.out + s.rows * ow;
  memset(out_back, 0, sizeof(float) * (size_t)(s.rows * ow));
  for (index_t at = begin; at < end; at += s.rows) {
    const index_t rows = end - at < s.rows ? end - at : s.rows;
    first_layer(&s, c, at, rows);
    silu_both(rows * h, s.first, s.first_silu);
    for (index_t r = 0; r < rows; r++)
      memcpy(out_back + r * ow, g->out + (at + r) * c->outs, sizeof(float) * (size_t)c->outs);
    outer_add(rows, c->outs, h, out_back, ow, s.first_silu, h, g->w2);
    add_rows(rows, ow, out_back, g->b2);
    multiply_bare(rows, c->outs, h, out_back, ow, c->w2, s.back, h);
    times(rows * h, s.first, s.back);
    add_rows(rows, h, s.back, g->b1);
    for (int k = 0; k < 2; k++) {
      const index_t n = c->inputs[k], wide = s.wide[k];
      if (!n) continue;
      outer_add(rows, n, h, c->x[k] + at * n, n, s.back, h, g->w1[k]);
      if (!g->x[k]) continue;
      if (wide == n) {
        multiply_bare(rows, h, n, s.back, h, s.w1_back[k], g->x[k] + at * n, n);
        continue;
      }
      multiply_bare(rows, h, wide, s.back, h, s.w1_back[k], s.x_back, wide);
      for (index_t r = 0; r < rows; r++)
        memcpy(g->x[k] + (at + r) * n, s.x_back + r * wide, sizeof(float) * (size_t)n);
    }
  }
  free(s.memory.base);
  return 1;
}
