/* Mean messages of one block of our EGNO, along the current path of the atoms. Inputs are
   distances, vectors projected on the edge, and further edge features.

   With r = path_i - path_j, d = sqrt(r^2 + 1e-8), u = r / d: m from [sizes(d), z_j u, z_i u - z_j u,
   sizes x features, extra, fixed]; sums over j of w m and of w (z_j carry(m) + u pull(m)). */

#include <math.h>

#include "maps.h"

#define SOFTENED 1.0e-8f

typedef struct {
  maps weights;
  layout where;
  index_t vectors, features, extras, fixed, is_normalised, is_coupled, is_soft;
  const float *path, *z, *receive, *send;               /* of nodes */
  const float *edge_features, *extra, *edge_fixed;      /* of edges; extra may be NULL */
  const float *offsets, *scales;                        /* offsets may be NULL */
  float *changes, *messages;
} egno;

typedef struct {
  map_gradients weights;
  const float *changes, *messages;
  float *path, *z, *receive, *send, *extra, *edge_fixed; /* the last two may be NULL */
} egno_gradients;

/* Of every row: edge, offsets into path and z of both ends, direction, distance. */
typedef struct {
  index_t edge, path_i, path_j, z_i, z_j;
  float unit[3], distance;
} edge_row;

/* Geometry of the rows into `a`; projections as they are, before any softening. */
static void fill_inputs(network *n, const egno *c, index_t begin, index_t at, index_t rows,
                        edge_row *edge_rows, float *raw) {
  const index_t points = c->where.points, vs = c->vectors, sizes = c->is_normalised ? 3 : 1;
  for (index_t r = 0; r < rows; r++) {
    edge_row *s = edge_rows + r;
    const index_t edge = s->edge = begin + (at + r) / points, p = (at + r) % points;
    const index_t i = c->where.receivers[edge], j = c->where.senders[edge];
    s->path_i = 3 * points * i + p, s->path_j = 3 * points * j + p;
    s->z_i = (3 * points * i + p) * vs, s->z_j = (3 * points * j + p) * vs;
    n->scale[r] = c->scales[edge];
    float *a = n->a + r * n->inputs, *unit = s->unit, square = 0.0f;
    for (int k = 0; k < 3; k++) {
      unit[k] = c->path[s->path_i + k * points] - c->path[s->path_j + k * points];
      if (c->offsets) unit[k] += c->offsets[3 * edge + k];
      square += unit[k] * unit[k];
    }
    if (c->is_normalised) {
      const float d = s->distance = sqrtf(square + SOFTENED);
      for (int k = 0; k < 3; k++) unit[k] /= d;
      a[0] = d / (1.0f + d), a[1] = 1.0f / (1.0f + d), a[2] = 1.0f / (0.1f + d * d);
    } else {
      a[0] = square;
    }
    float *projection_j = a + sizes, *relative = projection_j + vs, *copy = raw + 2 * vs * r;
    const float *zi = c->z + s->z_i, *zj = c->z + s->z_j;
    const index_t step = points * vs;
    for (index_t v = 0; v < vs; v++) {
      const float from = zj[v] * unit[0] + zj[step + v] * unit[1] + zj[2 * step + v] * unit[2];
      const float to = zi[v] * unit[0] + zi[step + v] * unit[1] + zi[2 * step + v] * unit[2];
      projection_j[v] = from, relative[v] = to - from;
    }
    memcpy(copy, projection_j, sizeof(float) * (size_t)(2 * vs));
    if (c->is_soft)
      for (index_t v = 0; v < 2 * vs; v++) projection_j[v] = asinhf(projection_j[v]);
    float *next = relative + vs;
    if (c->is_coupled) {
      const float *f = c->edge_features + edge * c->features;
      for (index_t k = 0; k < sizes; k++)
        for (index_t m = 0; m < c->features; m++) *next++ = a[k] * f[m];
    }
    if (c->extra) {
      memcpy(next, c->extra + (edge * points + p) * c->extras, sizeof(float) * (size_t)c->extras);
      next += c->extras;
    }
    memcpy(next, c->edge_fixed + edge * c->fixed, sizeof(float) * (size_t)c->fixed);
  }
}

int egno_forward(const egno *c, index_t begin, index_t end) {
  network n;
  if (!network_open(&n, &c->weights)) return 0;
  const index_t h = n.hidden, vs = c->vectors, step = c->where.points * vs;
  edge_row *edge_rows = malloc(sizeof(edge_row) * (size_t)n.rows);
  float *raw = malloc(sizeof(float) * (size_t)(2 * vs * n.rows));
  const int is_open = edge_rows && raw;
  for (index_t at = 0, rows; is_open && (rows = next_block(&n, &c->where, begin, end, at));
       at += rows) {
    fill_inputs(&n, c, begin, at, rows, edge_rows, raw);
    forward(&n, rows, c->receive, c->send, 0);
    for (index_t r = 0; r < rows; r++) {
      const edge_row *s = edge_rows + r;
      const float w = n.scale[r], *pull = n.out + r * n.outs_wide, *carry = pull + vs;
      const float *zj = c->z + s->z_j;
      float *changes = c->changes + s->z_i;
      for (int k = 0; k < 3; k++)
        for (index_t v = 0; v < vs; v++)
          changes[k * step + v] += w * (zj[k * step + v] * carry[v] + s->unit[k] * pull[v]);
      add_scaled(h, w, n.message + r * h, c->messages + n.to[r] * h);
    }
  }
  free(edge_rows), free(raw);
  network_close(&n);
  return is_open;
}

/* From the gradient at the direction and at the sizes to that of r. */
static void separation_gradient(const egno *c, const edge_row *s, const float *unit_back,
                                const float *sizes, float *r_back) {
  const float *u = s->unit;
  if (!c->is_normalised) {
    for (int k = 0; k < 3; k++) r_back[k] = unit_back[k] + 2.0f * sizes[0] * u[k];
    return;
  }
  const float d = s->distance, near = 1.0f / (1.0f + d), close = 1.0f / (0.1f + d * d);
  const float along = unit_back[0] * u[0] + unit_back[1] * u[1] + unit_back[2] * u[2];
  const float d_back = (sizes[0] - sizes[1]) * near * near - 2.0f * d * sizes[2] * close * close;
  for (int k = 0; k < 3; k++) r_back[k] = (unit_back[k] - u[k] * along) / d + d_back * u[k];
}

static void scatter(const network *n, const egno *c, egno_gradients *g, const edge_row *s,
                    index_t r, const float *raw, float *work) {
  const index_t points = c->where.points, vs = c->vectors, step = points * vs;
  const index_t sizes = c->is_normalised ? 3 : 1;
  const float w = n->scale[r], *pull = n->out + r * n->outs_wide, *carry = pull + vs;
  const float *back = n->a_back + r * n->inputs_wide, *zi = c->z + s->z_i, *zj = c->z + s->z_j;
  const float *changes = g->changes + s->z_i;
  float *for_i = g->z + s->z_i, *for_j = g->z + s->z_j;
  float *from = work, *to = work + vs, unit_back[3], size_back[3], r_back[3];
  for (index_t v = 0; v < vs; v++) {
    float first = back[sizes + v], second = back[sizes + vs + v];
    if (c->is_soft) {
      first /= sqrtf(1.0f + raw[v] * raw[v]);
      second /= sqrtf(1.0f + raw[vs + v] * raw[vs + v]);
    }
    from[v] = first - second, to[v] = second;
  }
  for (int k = 0; k < 3; k++) {
    const float *m = changes + k * step, u = s->unit[k];
    float sum = 0.0f;
    for (index_t v = 0; v < vs; v++)
      sum += w * m[v] * pull[v] + from[v] * zj[k * step + v] + to[v] * zi[k * step + v];
    unit_back[k] = sum;
    for (index_t v = 0; v < vs; v++) for_j[k * step + v] += w * m[v] * carry[v] + from[v] * u;
    for (index_t v = 0; v < vs; v++) for_i[k * step + v] += to[v] * u;
  }
  const float *next = back + sizes + 2 * vs;
  for (index_t k = 0; k < sizes; k++) {
    size_back[k] = back[k];
    if (!c->is_coupled) continue;
    const float *f = c->edge_features + s->edge * c->features;
    for (index_t m = 0; m < c->features; m++) size_back[k] += *next++ * f[m];
  }
  separation_gradient(c, s, unit_back, size_back, r_back);
  for (int k = 0; k < 3; k++) {
    g->path[s->path_i + k * points] += r_back[k];
    g->path[s->path_j + k * points] -= r_back[k];
  }
  if (c->extra) {
    if (g->extra)
      memcpy(g->extra + (s->edge * points + n->to[r] % points) * c->extras, next,
             sizeof(float) * (size_t)c->extras);
    next += c->extras;
  }
  if (g->edge_fixed)
    for (index_t k = 0; k < c->fixed; k++) g->edge_fixed[s->edge * c->fixed + k] += next[k];
}

int egno_backward(const egno *c, egno_gradients *g, index_t begin, index_t end) {
  network n;
  if (!network_open(&n, &c->weights)) return 0;
  const index_t vs = c->vectors, step = c->where.points * vs, ow = n.outs_wide;
  float *out_back = n.out + n.rows * ow;
  memset(out_back, 0, sizeof(float) * (size_t)(n.rows * ow));
  edge_row *edge_rows = malloc(sizeof(edge_row) * (size_t)n.rows);
  float *raw = malloc(sizeof(float) * (size_t)(2 * vs * (n.rows + 1))), *work = raw;
  const int is_open = edge_rows && raw;
  for (index_t at = 0, rows; is_open && (rows = next_block(&n, &c->where, begin, end, at));
       at += rows) {
    fill_inputs(&n, c, begin, at, rows, edge_rows, raw + 2 * vs);
    forward(&n, rows, c->receive, c->send, 1);
    for (index_t r = 0; r < rows; r++) {
      const edge_row *s = edge_rows + r;
      const float w = n.scale[r], *changes = g->changes + s->z_i, *zj = c->z + s->z_j, *u = s->unit;
      float *pull = out_back + r * ow, *carry = pull + vs;
      for (index_t v = 0; v < vs; v++) {
        const float m0 = w * changes[v], m1 = w * changes[step + v], m2 = w * changes[2 * step + v];
        pull[v] = m0 * u[0] + m1 * u[1] + m2 * u[2];
        carry[v] = m0 * zj[v] + m1 * zj[step + v] + m2 * zj[2 * step + v];
      }
    }
    backward(&n, rows, out_back, g->messages, &g->weights);
    scatter_ends(&n, rows, g->receive, g->send);
    for (index_t r = 0; r < rows; r++)
      scatter(&n, c, g, edge_rows + r, r, raw + 2 * vs * (r + 1), work);
  }
  free(edge_rows), free(raw);
  network_close(&n);
  return is_open;
}
