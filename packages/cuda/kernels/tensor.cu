// The stock tensor ops. int32 and bool tensors are 32-bit integers on the device; whatever only moves elements moves words.

// A view of up to six dimensions: their sizes and the strides of two operands, the last dimension first.
struct Layout {
  int size[6];
  int a[6];
  int b[6];
};

#define FOR_EACH(i, n) for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += gridDim.x * blockDim.x)

__device__ __forceinline__ void locate(const Layout& at, int rank, int i, int& a, int& b) {
  a = b = 0;
#pragma unroll
  for (int r = 0; r < 6; r++) {
    if (r >= rank) break;
    int index = i;
    if (r < rank - 1) {
      const int rest = i / at.size[r];
      index = i - rest * at.size[r];
      i = rest;
    }
    a += index * at.a[r];
    b += index * at.b[r];
  }
}

__device__ __forceinline__ float nanMax(float a, float b) { return a > b || a != a ? a : b; }
__device__ __forceinline__ float nanMin(float a, float b) { return a < b || a != a ? a : b; }
__device__ __forceinline__ float modulo(float a, float b) {
  const float rest = fmodf(a, b);
  return (a < 0) == (b < 0) ? rest : fmodf(rest + b, b);
}
__device__ __forceinline__ float selu(float x) { return x >= 0 ? 1.0507009873554805f * x : 1.7580993408473768f * expm1f(x); }
__device__ __forceinline__ float softplus(float x) { return x > 0 ? x + log1pf(expf(-x)) : log1pf(expf(x)); }

// X(tfjs's kernel name, formula of x; p and q are attributes)
#define UNARY_FLOAT(X)                                                                                                   \
  X(Abs, fabsf(x)) X(Neg, -x) X(Sign, x > 0 ? 1.0f : x < 0 ? -1.0f : 0.0f) X(Square, x * x) X(Relu, x < 0 ? 0.0f : x)     \
  X(Relu6, x < 0 ? 0.0f : x > 6 ? 6.0f : x) X(Step, x > 0 ? 1.0f : x != x ? x : p) X(Sqrt, sqrtf(x)) X(Rsqrt, 1 / sqrtf(x)) \
  X(Reciprocal, 1 / x) X(Exp, expf(x)) X(Expm1, expm1f(x)) X(Log, logf(x)) X(Log1p, log1pf(x)) X(Tanh, tanhf(x))           \
  X(Sigmoid, 1 / (1 + expf(-x))) X(Softplus, softplus(x)) X(Sin, sinf(x)) X(Cos, cosf(x)) X(Tan, tanf(x)) X(Asin, asinf(x)) \
  X(Acos, acosf(x)) X(Atan, atanf(x)) X(Sinh, sinhf(x)) X(Cosh, coshf(x)) X(Asinh, asinhf(x)) X(Acosh, acoshf(x))          \
  X(Atanh, atanhf(x)) X(Erf, erff(x)) X(Floor, floorf(x)) X(Ceil, ceilf(x)) X(Round, rintf(x)) X(Elu, x >= 0 ? x : expm1f(x)) \
  X(Selu, selu(x)) X(LeakyRelu, x >= 0 ? x : p * x) X(ClipByValue, x != x ? x : x < p ? p : x > q ? q : x)
#define UNARY_INT(X)                                                                                                  \
  X(Abs, x < 0 ? -x : x) X(Neg, -x) X(Sign, (x > 0) - (x < 0)) X(Square, x * x) X(Relu, x < 0 ? 0 : x) X(Floor, x)      \
  X(Relu6, x < 0 ? 0 : x > 6 ? 6 : x) X(Ceil, x) X(Round, x) X(LogicalNot, x == 0)                                      \
  X(ClipByValue, (float)x < p ? (int)p : (float)x > q ? (int)q : x)
#define UNARY_TEST(X) X(IsNan, x != x) X(IsInf, fabsf(x) == INFINITE) X(IsFinite, fabsf(x) < INFINITE)
#define BINARY_FLOAT(X)                                                                                                 \
  X(Add, x + y) X(Sub, x - y) X(Multiply, x * y) X(RealDiv, x / y) X(FloorDiv, floorf(x / y)) X(Mod, modulo(x, y))       \
  X(Pow, powf(x, y)) X(Maximum, nanMax(x, y)) X(Minimum, nanMin(x, y)) X(SquaredDifference, (x - y) * (x - y))           \
  X(Atan2, atan2f(x, y)) X(Prelu, x < 0 ? y * x : x) X(EluGrad, y >= 0 ? x : x * (y + 1))
#define BINARY_INT(X)                                                                                                   \
  X(Add, x + y) X(Sub, x - y) X(Multiply, x * y) X(RealDiv, y == 0 ? 0 : (int)((float)x / (float)y))                     \
  X(FloorDiv, y == 0 ? 0 : (int)floor((double)x / y)) X(Mod, y == 0 ? 0 : x - y * (int)floor((double)x / y))             \
  X(Pow, (int)rint(pow((double)x, (double)y))) X(Maximum, x > y ? x : y) X(Minimum, x < y ? x : y)                       \
  X(SquaredDifference, (x - y) * (x - y)) X(LogicalAnd, x && y) X(LogicalOr, x || y) X(LogicalXor, !x != !y)             \
  X(BitwiseAnd, x & y)
#define COMPARE(X)                                                                                                     \
  X(Equal, x == y) X(NotEqual, x != y) X(Greater, x > y) X(GreaterEqual, x >= y) X(Less, x < y) X(LessEqual, x <= y)

#define IN_ENUM(name, formula) name,
#define IN_SWITCH(name, formula) \
  case name: return formula;
namespace UnaryFloat { enum Op { UNARY_FLOAT(IN_ENUM) }; }
namespace UnaryInt { enum Op { UNARY_INT(IN_ENUM) }; }
namespace UnaryTest { enum Op { UNARY_TEST(IN_ENUM) }; }
namespace BinaryFloat { enum Op { BINARY_FLOAT(IN_ENUM) }; }
namespace BinaryInt { enum Op { BINARY_INT(IN_ENUM) }; }
namespace Compare { enum Op { COMPARE(IN_ENUM) }; }

__device__ __forceinline__ float applyUnaryFloat(int op, float x, float p, float q) {
  using namespace UnaryFloat;
  switch (op) { UNARY_FLOAT(IN_SWITCH) }
  return 0;
}
__device__ __forceinline__ int applyUnaryInt(int op, int x, float p, float q) {
  using namespace UnaryInt;
  switch (op) { UNARY_INT(IN_SWITCH) }
  return 0;
}
__device__ __forceinline__ int applyUnaryTest(int op, float x) {
  using namespace UnaryTest;
  switch (op) { UNARY_TEST(IN_SWITCH) }
  return 0;
}
__device__ __forceinline__ float applyBinaryFloat(int op, float x, float y) {
  using namespace BinaryFloat;
  switch (op) { BINARY_FLOAT(IN_SWITCH) }
  return 0;
}
__device__ __forceinline__ int applyBinaryInt(int op, int x, int y) {
  using namespace BinaryInt;
  switch (op) { BINARY_INT(IN_SWITCH) }
  return 0;
}
template <typename T>
__device__ __forceinline__ int applyCompare(int op, T x, T y) {
  using namespace Compare;
  switch (op) { COMPARE(IN_SWITCH) }
  return 0;
}

extern "C" __global__ void unaryFloat(int op, const float* x, float* out, float p, float q, int n) {
  FOR_EACH(i, n) out[i] = applyUnaryFloat(op, x[i], p, q);
}
extern "C" __global__ void unaryInt(int op, const int* x, int* out, float p, float q, int n) {
  FOR_EACH(i, n) out[i] = applyUnaryInt(op, x[i], p, q);
}
extern "C" __global__ void unaryTest(int op, const float* x, int* out, int n) {
  FOR_EACH(i, n) out[i] = applyUnaryTest(op, x[i]);
}

// An operand whose pointer is null is the number beside it.
extern "C" __global__ void binaryFloat(int op, const float* a, const float* b, float* out, float x0, float y0, Layout at, int rank,
                                       int n) {
  FOR_EACH(i, n) {
    int ia, ib;
    locate(at, rank, i, ia, ib);
    out[i] = applyBinaryFloat(op, a ? a[ia] : x0, b ? b[ib] : y0);
  }
}
extern "C" __global__ void binaryInt(int op, const int* a, const int* b, int* out, int x0, int y0, Layout at, int rank, int n) {
  FOR_EACH(i, n) {
    int ia, ib;
    locate(at, rank, i, ia, ib);
    out[i] = applyBinaryInt(op, a ? a[ia] : x0, b ? b[ib] : y0);
  }
}
extern "C" __global__ void compareFloat(int op, const float* a, const float* b, int* out, float x0, float y0, Layout at, int rank,
                                        int n) {
  FOR_EACH(i, n) {
    int ia, ib;
    locate(at, rank, i, ia, ib);
    out[i] = applyCompare(op, a ? a[ia] : x0, b ? b[ib] : y0);
  }
}
extern "C" __global__ void compareInt(int op, const int* a, const int* b, int* out, int x0, int y0, Layout at, int rank, int n) {
  FOR_EACH(i, n) {
    int ia, ib;
    locate(at, rank, i, ia, ib);
    out[i] = applyCompare(op, a ? a[ia] : x0, b ? b[ib] : y0);
  }
}

extern "C" __global__ void castFloatToInt(const float* x, int* out, int toBool, int n) {
  FOR_EACH(i, n) out[i] = toBool ? x[i] != 0 : (int)x[i];
}
extern "C" __global__ void castIntToFloat(const int* x, float* out, int n) { FOR_EACH(i, n) out[i] = (float)x[i]; }
extern "C" __global__ void castIntToBool(const int* x, int* out, int n) { FOR_EACH(i, n) out[i] = x[i] != 0; }

// condition ? a : b; the condition stands for `each` elements in a row.
extern "C" __global__ void selectWhere(const int* condition, const u32* a, const u32* b, u32* out, int each, int n) {
  FOR_EACH(i, n) out[i] = condition[each == 1 ? i : i / each] ? a[i] : b[i];
}

// out[b(i)] = x[a(i)]: slice, concat, transpose, tile, pad, reverse, broadcast.
extern "C" __global__ void copyStrided(const u32* x, u32* out, Layout at, int rank, int from, int to, int n) {
  FOR_EACH(i, n) {
    int ia, ib;
    locate(at, rank, i, ia, ib);
    out[to + ib] = x[from + ia];
  }
}

// [batches, rows, columns] → [batches, columns, rows] by 32 × 32 tiles; blocks of 32 × 8 threads.
extern "C" __global__ void transposeTiles(const u32* x, u32* out, int rows, int columns) {
  __shared__ u32 tile[32][33];
  const int tx = threadIdx.x & 31, ty = threadIdx.x >> 5;
  const long long batch = (long long)blockIdx.z * rows * columns;
  for (int row0 = blockIdx.y * 32; row0 < rows; row0 += gridDim.y * 32) {
    __syncthreads();
    for (int r = ty; r < 32; r += 8)
      if (row0 + r < rows && blockIdx.x * 32 + tx < columns)
        tile[r][tx] = x[batch + (long long)(row0 + r) * columns + blockIdx.x * 32 + tx];
    __syncthreads();
    for (int r = ty; r < 32; r += 8)
      if (blockIdx.x * 32 + r < columns && row0 + tx < rows)
        out[batch + (long long)(blockIdx.x * 32 + r) * rows + row0 + tx] = tile[tx][r];
  }
}

// out[o, i, :] = x[o, indices[i], :]; with `batches` > 1 each of them has its own indices. Outside: 0 (NaN for floats is loud).
extern "C" __global__ void gather(const u32* x, const int* indices, u32* out, int outer, int axis, int picked, int inner,
                                  u32 outside, int n) {
  FOR_EACH(i, n) {
    const int c = i % inner, rest = i / inner;
    const int at = rest % picked, row = rest / picked;
    const int batch = row / outer;
    const int index = indices[batch * picked + at];
    out[i] = index >= 0 && index < axis ? x[((long long)row * axis + index) * inner + c] : outside;
  }
}

// Flat positions of rows of indices: Σ_j index_j · stride_j, −1 where one is outside.
extern "C" __global__ void flattenIndices(const int* indices, int* out, Layout at, int rank, int n) {
  FOR_EACH(i, n) {
    int flat = 0;
    for (int r = 0; r < rank; r++) {
      const int index = indices[i * rank + r];
      if (flat < 0 || index < 0 || index >= at.size[r]) flat = -1;
      else flat += index * at.a[r];
    }
    out[i] = flat;
  }
}

extern "C" __global__ void oneHot(const int* indices, u32* out, int depth, u32 on, u32 off, int n) {
  FOR_EACH(i, n) out[i] = indices[i / depth] == i % depth ? on : off;
}

enum Reduction { SUM = 0, MEAN = 1, MAX = 2, MIN = 3, PROD = 4, ANY = 5, ALL = 6 };

__device__ __forceinline__ double startOf(int op) {
  switch (op) {
    case MAX: return -(double)INFINITE;
    case MIN: return (double)INFINITE;
    case PROD:
    case ALL: return 1;
  }
  return 0;
}
__device__ __forceinline__ double combine(int op, double a, double b) {
  switch (op) {
    case MAX: return a > b || a != a ? a : b;
    case MIN: return a < b || a != a ? a : b;
    case PROD: return a * b;
    case ANY: return a != 0 || b != 0;
    case ALL: return a != 0 && b != 0;
  }
  return a + b;
}
enum Kind { FLOAT = 0, INT = 1, DOUBLE = 2 };
__device__ __forceinline__ double readAs(const void* x, int kind, long long i) {
  return kind == FLOAT ? ((const float*)x)[i] : kind == INT ? ((const int*)x)[i] : ((const double*)x)[i];
}
__device__ __forceinline__ void writeAs(void* x, int kind, long long i, double v) {
  if (kind == FLOAT) ((float*)x)[i] = (float)v;
  else if (kind == INT) ((int*)x)[i] = (int)v;
  else ((double*)x)[i] = v;
}

// x [outer, reduce] → out [outer, parts] in float64 steps; a block a part. `divide` is the mean's count, or 1.
extern "C" __global__ void reduceRows(int op, const void* x, int kind, void* out, int outKind, int reduce, int each, double divide) {
  __shared__ double scratch[32];
  const int from = blockIdx.y * each, to = min(reduce, from + each);
  const long long row = (long long)blockIdx.x * reduce;
  double sum = startOf(op);
  for (int i = from + threadIdx.x; i < to; i += blockDim.x) sum = combine(op, sum, readAs(x, kind, row + i));
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  for (int offset = 16; offset > 0; offset >>= 1) sum = combine(op, sum, __shfl_xor_sync(ALL_LANES, sum, offset));
  if (lane == 0) scratch[warp] = sum;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (int w = 1; w < warps; w++) sum = combine(op, sum, scratch[w]);
  writeAs(out, outKind, (long long)blockIdx.x * gridDim.y + blockIdx.y, sum / divide);
}

// x [outer, reduce, inner] → out [outer, parts, inner]; a thread a column.
extern "C" __global__ void reduceColumns(int op, const void* x, int kind, void* out, int outKind, int reduce, int inner, int each,
                                         double divide) {
  const int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= inner) return;
  const int from = blockIdx.y * each, to = min(reduce, from + each);
  double sum = startOf(op);
  for (int i = from; i < to; i++) sum = combine(op, sum, readAs(x, kind, ((long long)blockIdx.z * reduce + i) * inner + c));
  writeAs(out, outKind, ((long long)blockIdx.z * gridDim.y + blockIdx.y) * inner + c, sum / divide);
}

// The index of a row's largest (or smallest) value, the first where several are equal; a warp a row.
extern "C" __global__ void argExtreme(const void* x, int kind, int* out, int outer, int reduce, int smallest) {
  const int row = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5), lane = threadIdx.x & 31;
  if (row >= outer) return;
  double best = 0;
  int at = -1;
  for (int i = lane; i < reduce; i += 32) {
    const double v = readAs(x, kind, (long long)row * reduce + i);
    if (at < 0 || (smallest ? v < best : v > best)) {
      best = v;
      at = i;
    }
  }
  for (int offset = 16; offset > 0; offset >>= 1) {
    const double other = __shfl_xor_sync(ALL_LANES, best, offset);
    const int otherAt = __shfl_xor_sync(ALL_LANES, at, offset);
    if (otherAt >= 0 && (at < 0 || (smallest ? other < best : other > best) || (other == best && otherAt < at))) {
      best = other;
      at = otherAt;
    }
  }
  if (lane == 0) out[row] = at < 0 ? 0 : at;
}

// Cumulative sums along the last axis, a warp a row, in float64.
extern "C" __global__ void cumulativeSum(const void* x, void* out, int kind, int outer, int length, int exclusive, int reverse) {
  const int row = blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5), lane = threadIdx.x & 31;
  if (row >= outer) return;
  double before = 0;
  for (int base = 0; base < length; base += 32) {
    const int i = base + lane;
    const long long at = (long long)row * length + (reverse ? length - 1 - i : i);
    const double v = i < length ? readAs(x, kind, at) : 0;
    double sum = v;
    for (int by = 1; by < 32; by <<= 1) {
      const double below = __shfl_up_sync(ALL_LANES, sum, by);
      if (lane >= by) sum += below;
    }
    if (i < length) writeAs(out, kind, at, before + (exclusive ? sum - v : sum));
    before += __shfl_sync(ALL_LANES, sum, 31);
  }
}
