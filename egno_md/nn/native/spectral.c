/* The temporal convolution y = irfft(W rfft(x)[:I]) of scalars (Xu et al. 2024, Eqs. 8-10).

   Transforms are small real matrices that the caller computes: `to_modes` (modes, 2, points),
   `to_points` (points, modes, 2). The mean has no imaginary part. */

#include "dense.h"

typedef struct {
  index_t points, channels, modes, node_step, point_step; /* steps in rows of channels */
  const float *to_modes, *to_points, *w;                     /* w (modes, channels, channels, 2) */
  const float *x;
  float *out;
} spectral;

typedef struct {
  const float *out;
  float *x, *w; /* x written; w (modes, 2, channels, channels) added to */
} spectral_gradients;

/* Rows [2 * modes] of `rows` nodes each: real, imaginary of every mode. */
static void transform(const spectral *c, const float *weights, int is_back, const float *x,
                      index_t at, index_t rows, float *out) {
  const index_t h = c->channels, both = 2 * c->modes;
  for (index_t k = 0; k < both; k++) {
    if (k == 1) continue;
    for (index_t r = 0; r < rows; r++) {
      float *y = out + (k * rows + r) * h;
      const float *from = x + (at + r) * c->node_step * h;
      for (index_t v = 0; v < h; v += LANES) {
        vec sum = {0};
        for (index_t p = 0; p < c->points; p++) {
          const float weight = is_back ? weights[p * both + k] : weights[k * c->points + p];
          sum += weight * READ(from + p * c->point_step * h + v);
        }
        AT(y + v) = sum;
      }
    }
  }
}

static void restore(const spectral *c, const float *weights, int is_back, const float *y,
                    index_t at, index_t rows, float *out) {
  const index_t h = c->channels, both = 2 * c->modes;
  for (index_t r = 0; r < rows; r++)
    for (index_t p = 0; p < c->points; p++) {
      float *to = out + ((at + r) * c->node_step + p * c->point_step) * h;
      for (index_t v = 0; v < h; v += LANES) {
        vec sum = {0};
        for (index_t k = 0; k < both; k++) {
          if (k == 1) continue;
          const float weight = is_back ? weights[p * both + k] : weights[k * c->points + p];
          sum += weight * READ(y + (k * rows + r) * h + v);
        }
        AT(to + v) = sum;
      }
    }
}

/* Packed: (modes, real | imaginary | minus imaginary), each (channels, channels). */
static void pack_modes(const spectral *c, int is_transposed, float *out) {
  const index_t h = c->channels, square = h * h;
  for (index_t m = 0; m < c->modes; m++)
    for (index_t i = 0; i < h; i++)
      for (index_t k = 0; k < h; k++) {
        const float *w = c->w + ((m * h + i) * h + k) * 2;
        const index_t place = is_transposed ? k * h + i : i * h + k;
        float *to = out + 3 * m * square + place;
        to[0] = w[0], to[square] = w[1], to[2 * square] = -w[1];
      }
}

int spectral_forward(const spectral *c, index_t begin, index_t end) {
  const index_t h = c->channels, square = h * h, both = 2 * c->modes, step = block_rows(h);
  arena memory;
  if (!arena_open(&memory, 3 * c->modes * square + 2 * both * step * h + 64)) return 0;
  float *w = take(&memory, 3 * c->modes * square);
  float *x = take(&memory, both * step * h), *y = take(&memory, both * step * h);
  pack_modes(c, 0, w);
  for (index_t at = begin; at < end; at += step) {
    const index_t rows = end - at < step ? end - at : step, part = rows * h;
    transform(c, c->to_modes, 0, c->x, at, rows, x);
    multiply_bare(rows, h, h, x, h, w, y, h);
    for (index_t m = 1; m < c->modes; m++) {
      const float *real = x + 2 * m * part, *imaginary = real + part, *v = w + 3 * m * square;
      float *to = y + 2 * m * part;
      multiply_bare(rows, h, h, real, h, v, to, h);
      multiply_add(rows, h, h, imaginary, h, v + 2 * square, to, h);
      multiply_bare(rows, h, h, real, h, v + square, to + part, h);
      multiply_add(rows, h, h, imaginary, h, v, to + part, h);
    }
    restore(c, c->to_points, 1, y, at, rows, c->out);
  }
  free(memory.base);
  return 1;
}

int spectral_backward(const spectral *c, spectral_gradients *g, index_t begin, index_t end) {
  const index_t h = c->channels, square = h * h, both = 2 * c->modes, step = block_rows(h);
  arena memory;
  if (!arena_open(&memory, 3 * c->modes * square + 4 * both * step * h + 128)) return 0;
  float *w = take(&memory, 3 * c->modes * square);
  float *x = take(&memory, both * step * h), *y = take(&memory, both * step * h);
  float *x_back = take(&memory, both * step * h), *minus = take(&memory, step * h);
  pack_modes(c, 1, w);
  for (index_t at = begin; at < end; at += step) {
    const index_t rows = end - at < step ? end - at : step, part = rows * h;
    transform(c, c->to_modes, 0, c->x, at, rows, x);
    transform(c, c->to_points, 1, g->out, at, rows, y);
    multiply_bare(rows, h, h, y, h, w, x_back, h);
    outer_add(rows, h, h, x, h, y, h, g->w);
    for (index_t m = 1; m < c->modes; m++) {
      const float *real = x + 2 * m * part, *imaginary = real + part, *v = w + 3 * m * square;
      const float *for_real = y + 2 * m * part, *for_imaginary = for_real + part;
      float *to = x_back + 2 * m * part, *for_w = g->w + 2 * m * square;
      multiply_bare(rows, h, h, for_real, h, v, to, h);
      multiply_add(rows, h, h, for_imaginary, h, v + square, to, h);
      multiply_bare(rows, h, h, for_real, h, v + 2 * square, to + part, h);
      multiply_add(rows, h, h, for_imaginary, h, v, to + part, h);
      for (index_t k = 0; k < part; k += LANES) AT(minus + k) = -READ(imaginary + k);
      outer_add(rows, h, h, real, h, for_real, h, for_w);
      outer_add(rows, h, h, imaginary, h, for_imaginary, h, for_w);
      outer_add(rows, h, h, minus, h, for_real, h, for_w + square);
      outer_add(rows, h, h, real, h, for_imaginary, h, for_w + square);
    }
    restore(c, c->to_modes, 0, x_back, at, rows, g->x);
  }
  free(memory.base);
  return 1;
}
