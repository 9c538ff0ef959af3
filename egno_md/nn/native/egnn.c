/* Messages of an EGNN layer (Satorras et al. 2021, Eqs. 3-5): sums over each node's edges of
   r phi_x(m) and of m, with r = x_i - x_j and ||r||^2 the first feature of an edge. */

#include "maps.h"

typedef struct {
  maps weights;
  layout where;
  index_t features;
  const float *x, *receive, *send, *edges;
  float *pull, *total;
} egnn;

typedef struct {
  map_gradients weights;
  const float *pull, *total;
  float *x, *receive, *send, *edges; /* edges may be NULL */
} egnn_gradients;

static void fill_inputs(network *n, const egnn *c, index_t rows, float *r3) {
  for (index_t r = 0; r < rows; r++) {
    const float *i = c->x + 3 * n->to[r], *j = c->x + 3 * n->from[r];
    float *a = n->a + r * n->inputs, *d = r3 + 3 * r;
    for (int k = 0; k < 3; k++) d[k] = i[k] - j[k];
    a[0] = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
    const float *e = c->edges + n->edge[r] * c->features;
    for (index_t k = 0; k < c->features; k++) a[1 + k] = e[k];
  }
}

/* Edges from begin to end, which must not share a receiver with another call at the same time;
   sums are added to `pull` and `total`. Returns 0 without memory. */
int egnn_forward(const egnn *c, index_t begin, index_t end) {
  network n;
  if (!network_open(&n, &c->weights)) return 0;
  const index_t h = n.hidden;
  float r3[3 * 96];
  for (index_t at = 0, rows; (rows = next_block(&n, &c->where, begin, end, at)); at += rows) {
    fill_inputs(&n, c, rows, r3);
    forward(&n, rows, c->receive, c->send, 0);
    for (index_t r = 0; r < rows; r++) {
      const float gate = n.out[r * n.outs_wide];
      float *pull = c->pull + 3 * n.to[r];
      for (int k = 0; k < 3; k++) pull[k] += gate * r3[3 * r + k];
      add(h, n.message + r * h, c->total + n.to[r] * h);
    }
  }
  network_close(&n);
  return 1;
}

/* Gradients, added to what is there; `x`, `send` and the weights' need arrays of the call's own. */
int egnn_backward(const egnn *c, egnn_gradients *g, index_t begin, index_t end) {
  network n;
  if (!network_open(&n, &c->weights)) return 0;
  const index_t ow = n.outs_wide;
  float r3[3 * 96], *out_back = n.out + n.rows * ow;
  memset(out_back, 0, sizeof(float) * (size_t)(n.rows * ow));
  for (index_t at = 0, rows; (rows = next_block(&n, &c->where, begin, end, at)); at += rows) {
    fill_inputs(&n, c, rows, r3);
    forward(&n, rows, c->receive, c->send, 1);
    for (index_t r = 0; r < rows; r++) {
      const float *pull = g->pull + 3 * n.to[r], *d = r3 + 3 * r;
      out_back[r * ow] = pull[0] * d[0] + pull[1] * d[1] + pull[2] * d[2];
    }
    backward(&n, rows, out_back, g->total, &g->weights);
    scatter_ends(&n, rows, g->receive, g->send);
    for (index_t r = 0; r < rows; r++) {
      const float gate = n.out[r * ow], *a = n.a_back + r * n.inputs_wide;
      const float *pull = g->pull + 3 * n.to[r];
      float *i = g->x + 3 * n.to[r], *j = g->x + 3 * n.from[r];
      for (int k = 0; k < 3; k++) {
        const float back = gate * pull[k] + 2.0f * a[0] * r3[3 * r + k];
        i[k] += back, j[k] -= back;
      }
      if (g->edges) {
        float *e = g->edges + n.edge[r] * c->features;
        for (index_t k = 0; k < c->features; k++) e[k] += a[1 + k];
      }
    }
  }
  network_close(&n);
  return 1;
}

int lanes(void) { return LANES; }
