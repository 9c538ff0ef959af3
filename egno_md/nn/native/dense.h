/* Small dense layers on blocks of rows that stay in a core's first caches.

   Vectors are GCC's and Clang's; the compiler maps them to what the machine has. Rows are
   multiplied six at a time against four (two) vectors of columns, which fills the registers
   of AVX-512 (AVX2) and keeps both multipliers busy. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __AVX512F__
#define LANES 16
#define WIDE 4
#else
#define LANES 8
#define WIDE 2
#endif
#define ROWS 6
#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int64_t index_t;

#define AT(pointer) (*(vec *)(pointer))
#define READ(pointer) (*(const vec *)(pointer))

static inline index_t padded(index_t n) { return (n + LANES - 1) / LANES * LANES; }

/* What a product begins with. */
enum { FROM_ZERO, FROM_BIAS, ADD };

/* out[rows][vectors] (+)= a @ w; a(i, k) at a[i * si + k * sk], w and out row by row. */
INLINE void tile(const int rows, const int vectors, index_t inner, const float *a, index_t si,
                 index_t sk, const float *w, index_t ldw, float *out, index_t ldo,
                 const float *bias, const int begin) {
  vec c[ROWS][WIDE];
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < vectors; j++)
      c[i][j] = begin == ADD         ? READ(out + i * ldo + j * LANES)
                : begin == FROM_BIAS ? READ(bias + j * LANES)
                                     : (vec){0};
  for (index_t k = 0; k < inner; k++) {
    vec b[WIDE];
    for (int j = 0; j < vectors; j++) b[j] = READ(w + k * ldw + j * LANES);
    for (int i = 0; i < rows; i++) {
      const float x = a[i * si + k * sk];
      for (int j = 0; j < vectors; j++) c[i][j] += x * b[j];
    }
  }
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < vectors; j++) AT(out + i * ldo + j * LANES) = c[i][j];
}

#define ONE(R, V)                                                                              \
  case (R) * 8 + (V):                                                                          \
    tile(R, V, inner, a, si, sk, w, ldw, out, ldo, bias, begin);                               \
    break;
#if WIDE == 4
#define EVERY(V, R) V(R, 1) V(R, 2) V(R, 3) V(R, 4)
#else
#define EVERY(V, R) V(R, 1) V(R, 2)
#endif

INLINE void any_tile(int rows, int vectors, index_t inner, const float *a, index_t si,
                     index_t sk, const float *w, index_t ldw, float *out, index_t ldo,
                     const float *bias, const int begin) {
  switch (rows * 8 + vectors) {
    EVERY(ONE, 1) EVERY(ONE, 2) EVERY(ONE, 3) EVERY(ONE, 4) EVERY(ONE, 5) EVERY(ONE, 6)
  }
}

INLINE void product(index_t rows, index_t inner, index_t columns, const float *a, index_t si,
                    index_t sk, const float *w, index_t ldw, float *out, index_t ldo,
                    const float *bias, const int begin) {
  for (index_t j = 0; j < columns; j += WIDE * LANES) {
    const index_t left = (columns - j) / LANES;
    const int vectors = left < WIDE ? (int)left : WIDE;
    const float *from = bias ? bias + j : bias;
    for (index_t i = 0; i < rows; i += ROWS)
      any_tile(rows - i < ROWS ? (int)(rows - i) : ROWS, vectors, inner, a + i * si, si, sk,
               w + j, ldw, out + i * ldo + j, ldo, from, begin);
  }
}

/* out = a @ w + bias; `columns` whole vectors. */
static inline void multiply(index_t rows, index_t inner, index_t columns, const float *a, index_t lda,
                     const float *w, float *out, index_t ldo, const float *bias) {
  product(rows, inner, columns, a, lda, 1, w, columns, out, ldo, bias, FROM_BIAS);
}

/* out = a @ w. */
static inline void multiply_bare(index_t rows, index_t inner, index_t columns, const float *a,
                          index_t lda, const float *w, float *out, index_t ldo) {
  product(rows, inner, columns, a, lda, 1, w, columns, out, ldo, NULL, FROM_ZERO);
}

/* out += a @ w. */
static inline void multiply_add(index_t rows, index_t inner, index_t columns, const float *a,
                         index_t lda, const float *w, float *out, index_t ldo) {
  product(rows, inner, columns, a, lda, 1, w, columns, out, ldo, NULL, ADD);
}

/* out[into][columns] += a^T @ b over rows: the gradient of a map's weights. */
static inline void outer_add(index_t rows, index_t into, index_t columns, const float *a, index_t lda,
                      const float *b, index_t ldb, float *out) {
  product(into, rows, columns, a, 1, lda, b, ldb, out, columns, NULL, ADD);
}

INLINE vec choose(ints mask, vec yes, vec no) {
  return (vec)(((ints)yes & mask) | ((ints)no & ~mask));
}

INLINE vec every(float x) { return x - (vec){0}; }

/* 1 / (1 + exp(-x)); beyond 87 it is taken at 87. */
INLINE vec sigmoid(vec x) {
  x = choose(x > every(87.0f), every(87.0f), x);
  x = choose(x < every(-87.0f), every(-87.0f), x);
  const vec t = x * -1.44269504088896341f;
  const vec magic = every(12582912.0f); /* 1.5 * 2^23: rounds to a whole number */
  const vec shifted = t + magic;
  const vec f = t - (shifted - magic);
  vec p = every(1.5403530e-4f); /* 2^f for |f| <= 1/2 */
  p = p * f + 1.33335581e-3f;
  p = p * f + 9.61812911e-3f;
  p = p * f + 5.55041087e-2f;
  p = p * f + 2.40226507e-1f;
  p = p * f + 6.93147181e-1f;
  p = p * f + 1.0f;
  const vec power = (vec)((ints)p + ((ints)shifted << 23));
  return 1.0f / (1.0f + power);
}

/* out = x sigmoid(x). */
static inline void silu(index_t count, const float *x, float *out) {
  for (index_t i = 0; i < count; i += LANES) {
    const vec v = READ(x + i);
    AT(out + i) = v * sigmoid(v);
  }
}

/* The same, and x becomes the derivative. */
static inline void silu_both(index_t count, float *x, float *out) {
  for (index_t i = 0; i < count; i += LANES) {
    const vec v = READ(x + i), s = sigmoid(v);
    AT(out + i) = v * s;
    AT(x + i) = s * (1.0f + v * (1.0f - s));
  }
}

static inline void times(index_t count, const float *x, float *out) {
  for (index_t i = 0; i < count; i += LANES) AT(out + i) *= READ(x + i);
}

static inline void add(index_t count, const float *x, float *out) {
  for (index_t i = 0; i < count; i += LANES) AT(out + i) += READ(x + i);
}

static inline void add_scaled(index_t count, float scale, const float *x, float *out) {
  for (index_t i = 0; i < count; i += LANES) AT(out + i) += scale * READ(x + i);
}

/* out += sum of rows. */
static inline void add_rows(index_t rows, index_t columns, const float *x, float *out) {
  for (index_t j = 0; j < columns; j += LANES) {
    vec sum = READ(out + j);
    for (index_t i = 0; i < rows; i++) sum += READ(x + i * columns + j);
    AT(out + j) = sum;
  }
}

/* Weights as torch keeps them, (outputs, inputs), to rows of inputs with padded outputs. */
static inline void pack_transposed(index_t outputs, index_t inputs, const float *w, float *out) {
  const index_t columns = padded(outputs);
  memset(out, 0, sizeof(float) * (size_t)(inputs * columns));
  for (index_t i = 0; i < outputs; i++)
    for (index_t k = 0; k < inputs; k++) out[k * columns + i] = w[i * inputs + k];
}

/* Rows with padded columns. */
static inline void pack(index_t rows, index_t columns, const float *w, float *out) {
  const index_t wide = padded(columns);
  memset(out, 0, sizeof(float) * (size_t)(rows * wide));
  for (index_t i = 0; i < rows; i++)
    memcpy(out + i * wide, w + i * columns, sizeof(float) * (size_t)columns);
}

/* Rows of a block: a few blocks of numbers lie in the second cache. */
static index_t block_rows(index_t hidden) {
  const index_t rows = 6144 / hidden / ROWS * ROWS;
  return rows < ROWS ? ROWS : rows > 96 ? 96 : rows;
}

/* One allocation, divided into parts of whole vectors. */
typedef struct {
  float *base, *next;
} arena;

static inline int arena_open(arena *memory, index_t floats) {
  memory->base = memory->next = aligned_alloc(64, (size_t)((floats * 4 + 63) / 64 * 64));
  return memory->base != NULL;
}

static inline float *take(arena *memory, index_t floats) {
  float *start = memory->next;
  memory->next += (floats + 15) / 16 * 16;
  return start;
}
