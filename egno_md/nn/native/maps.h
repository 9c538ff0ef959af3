/* The message network on a block of rows, forward and backward.

   first = inputs @ W_k + (terms of both ends), m = SiLU(W_2 SiLU(first) + b_2),
   outs = W_o f(m) + b_o, where f is the identity or SiLU(W_3 m + b_3). Only the inputs are kept
   for the backward pass, which computes the rest again: cheaper than to write and read it. */

#include "dense.h"

typedef struct {
  index_t hidden, inputs, outs, is_deep;
  const float *wk, *w2, *b2, *w3, *b3, *wo, *bo; /* as torch keeps them */
} maps;

typedef struct {
  float *wk, *w2, *b2, *w3, *b3, *wo, *bo; /* wk as (inputs, hidden), wo padded to whole vectors */
} map_gradients;

typedef struct {
  index_t hidden, inputs, inputs_wide, outs, outs_wide, is_deep, rows;
  float *wk, *wk_back, *w2, *w3, *wo, *bo, *wo_back;
  const float *w2_back, *b2, *w3_back, *b3;
  float *a, *first, *first_silu, *second, *message, *third, *third_silu;
  float *out, *back, *a_back, *scale;
  index_t *to, *from, *edge;
  arena memory;
} network;

static int network_open(network *n, const maps *m) {
  const index_t h = m->hidden, rows = block_rows(h);
  n->hidden = h, n->inputs = m->inputs, n->outs = m->outs, n->is_deep = m->is_deep, n->rows = rows;
  const index_t kw = n->inputs_wide = padded(m->inputs), ow = n->outs_wide = padded(m->outs);
  const index_t weights = (m->inputs + 2 * h) * h + h * kw + h * ow + ow + m->outs * h;
  const index_t work = rows * (7 * h + m->inputs + kw + 2 * ow + 7);
  if (!arena_open(&n->memory, weights + work + 25 * 16)) return 0;
  n->wk = take(&n->memory, m->inputs * h);
  n->wk_back = take(&n->memory, h * kw);
  n->w2 = take(&n->memory, h * h);
  n->w3 = take(&n->memory, h * h);
  n->wo = take(&n->memory, h * ow);
  n->bo = take(&n->memory, ow);
  pack_transposed(h, m->inputs, m->wk, n->wk);
  pack(h, m->inputs, m->wk, n->wk_back);
  pack_transposed(h, h, m->w2, n->w2);
  if (m->is_deep) pack_transposed(h, h, m->w3, n->w3);
  pack_transposed(m->outs, h, m->wo, n->wo);
  pack(1, m->outs, m->bo, n->bo);
  n->w2_back = m->w2, n->w3_back = m->w3, n->b2 = m->b2, n->b3 = m->b3;
  n->wo_back = (float *)m->wo;
  n->a = take(&n->memory, rows * m->inputs);
  n->a_back = take(&n->memory, rows * kw);
  n->first = take(&n->memory, rows * h);
  n->first_silu = take(&n->memory, rows * h);
  n->second = take(&n->memory, rows * h);
  n->message = take(&n->memory, rows * h);
  n->third = take(&n->memory, rows * h);
  n->third_silu = take(&n->memory, rows * h);
  n->back = take(&n->memory, rows * h);
  n->out = take(&n->memory, 2 * rows * ow);
  n->scale = take(&n->memory, rows);
  for (index_t r = 0; r < rows; r++) n->scale[r] = 1.0f;
  n->to = (index_t *)take(&n->memory, 2 * rows);
  n->from = (index_t *)take(&n->memory, 2 * rows);
  n->edge = (index_t *)take(&n->memory, 2 * rows);
  return 1;
}

static void network_close(network *n) { free(n->memory.base); }

/* The first layer of `rows` rows from `a` and the rows of both ends. */
static void first_layer(network *n, index_t rows, const float *receive, const float *send) {
  const index_t h = n->hidden;
  for (index_t r = 0; r < rows; r++) {
    const float *i = receive + n->to[r] * h, *j = send + n->from[r] * h;
    for (index_t k = 0; k < h; k += LANES) AT(n->first + r * h + k) = READ(i + k) + READ(j + k);
  }
  multiply_add(rows, n->inputs, h, n->a, n->inputs, n->wk, n->first, h);
}

/* For the backward pass, derivatives of SiLU replace its inputs. */
INLINE void activate(const int is_back, index_t count, float *x, float *out) {
  if (is_back) silu_both(count, x, out);
  else silu(count, x, out);
}

INLINE void forward(network *n, index_t rows, const float *receive, const float *send,
                  const int is_back) {
  const index_t h = n->hidden;
  first_layer(n, rows, receive, send);
  activate(is_back, rows * h, n->first, n->first_silu);
  multiply(rows, h, h, n->first_silu, h, n->w2, n->second, h, n->b2);
  activate(is_back, rows * h, n->second, n->message);
  const float *third_silu = n->message;
  if (n->is_deep) {
    multiply(rows, h, h, n->message, h, n->w3, n->third, h, n->b3);
    activate(is_back, rows * h, n->third, n->third_silu);
    third_silu = n->third_silu;
  }
  multiply(rows, h, n->outs_wide, third_silu, h, n->wo, n->out, n->outs_wide, n->bo);
}

/* From gradients at the outputs (out_back) and at the scaled sums of messages to those at `a` and
   at the first layer's rows (left in `first`); gradients of weights are added up. */
static void backward(network *n, index_t rows, const float *out_back, const float *total_back,
                     map_gradients *g) {
  const index_t h = n->hidden, ow = n->outs_wide;
  outer_add(rows, n->outs, h, out_back, ow, n->is_deep ? n->third_silu : n->message, h, g->wo);
  add_rows(rows, ow, out_back, g->bo);
  if (n->is_deep) {
    multiply_bare(rows, n->outs, h, out_back, ow, n->wo_back, n->back, h);
    times(rows * h, n->third, n->back);
    outer_add(rows, h, h, n->back, h, n->message, h, g->w3);
    add_rows(rows, h, n->back, g->b3);
    multiply_bare(rows, h, h, n->back, h, n->w3_back, n->third_silu, h);
  } else {
    multiply_bare(rows, n->outs, h, out_back, ow, n->wo_back, n->third_silu, h);
  }
  for (index_t r = 0; r < rows; r++)
    add_scaled(h, n->scale[r], total_back + n->to[r] * h, n->third_silu + r * h);
  times(rows * h, n->second, n->third_silu);
  outer_add(rows, h, h, n->third_silu, h, n->first_silu, h, g->w2);
  add_rows(rows, h, n->third_silu, g->b2);
  multiply_bare(rows, h, h, n->third_silu, h, n->w2_back, n->back, h);
  times(rows * h, n->back, n->first);
  outer_add(rows, n->inputs, h, n->a, n->inputs, n->first, h, g->wk);
  multiply_bare(rows, h, n->inputs_wide, n->first, h, n->wk_back, n->a_back, n->inputs_wide);
}

static void scatter_ends(network *n, index_t rows, float *receive_back, float *send_back) {
  const index_t h = n->hidden;
  for (index_t r = 0; r < rows; r++) {
    add(h, n->first + r * h, receive_back + n->to[r] * h);
    add(h, n->first + r * h, send_back + n->from[r] * h);
  }
}

/* Where rows of edges lie: row = node * node_step + point * point_step, edges alike. */
typedef struct {
  index_t points, node_step, point_step, edge_step, edge_point_step;
  const index_t *receivers, *senders;
} layout;

/* The next block of rows, from row `at` of `(end - begin) * points`; 0 at the end. */
static index_t next_block(network *n, const layout *l, index_t begin, index_t end, index_t at) {
  const index_t edges = end - begin, all = edges * l->points;
  const index_t rows = all - at < n->rows ? all - at : n->rows;
  const int points_first = l->point_step > l->node_step;
  index_t e = points_first ? at % edges : at / l->points;
  index_t p = points_first ? at / edges : at % l->points;
  for (index_t r = 0; r < rows; r++) {
    const index_t edge = begin + e;
    n->to[r] = l->receivers[edge] * l->node_step + p * l->point_step;
    n->from[r] = l->senders[edge] * l->node_step + p * l->point_step;
    n->edge[r] = edge * l->edge_step + p * l->edge_point_step;
    if (points_first) {
      if (++e == edges) e = 0, p++;
    } else if (++p == l->points) {
      p = 0, e++;
    }
  }
  return rows;
}
