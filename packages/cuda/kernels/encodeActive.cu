// MsaeEncodeActive: pre-activations → lists of active latents.
//
// A row's score is its value or its magnitude. `screenRows` reads a row once: a threshold estimated from an eighth of it, then
// everything that can reach that is put aside, and the list is made from these few. Pre-activations are float32 ones, or
// approximate ones (TF32) with a bound of their error; then what can belong to the list by that bound is computed again in
// float32 (`exactPres`). Rows with more candidates than fit, or with a value that is not finite, are flagged and go through
// `exactRows` (where they are approximate) and `selectExact`: a radix select, then a compaction in the order of the latents.

enum Rule { PER_ROW = 0, PER_BATCH = 1, ABOVE = 2, ABOVE_THRESHOLD = 3 };

#define SCREENED 1024
#define SCREEN_THREADS 256
#define MAX_GROUPS 8
// one in so many stretches of 32 latents is looked at for the estimate
#define SAMPLE 8

// What is left of a number in TF32 at worst; rounding to the nearest loses no more than this cut does.
__device__ __forceinline__ float lostInTf32(float v) {
  return fabsf(v) < INFINITE ? v - __uint_as_float(__float_as_uint(v) & 0xffffe000u) : v;
}

// xc = x − b_dec (where xc is given), and upper bounds by row, which those of `transposeWithNorms` are multiplied by:
// [‖xc − its TF32‖ + unit ‖xc‖, ‖xc‖]. `unit`: the error of the additions relative to ‖x‖ ‖w‖.
extern "C" __global__ void centreRows(const float* x, const float* b_dec, float* xc, float* rowNorms, float unit, int d) {
  __shared__ float scratch[32];
  const long long at = (long long)blockIdx.x * d;
  float sum = 0, lost = 0;
  for (int j = threadIdx.x; j < d; j += blockDim.x) {
    const float v = b_dec ? x[at + j] - b_dec[j] : x[at + j];
    if (xc) xc[at + j] = v;
    sum += v * v;
    const float e = lostInTf32(v);
    lost += e * e;
  }
  sum = sqrtf(blockSum(sum, scratch));
  lost = sqrtf(blockSum(lost, scratch));
  if (threadIdx.x > 0) return;
  rowNorms[2 * blockIdx.x] = 1.003f * (lost + unit * sum);
  rowNorms[2 * blockIdx.x + 1] = 1.003f * sum;
}

// W [d, N] → its transpose [N, d], and upper bounds for every 32 columns w: [max ‖w‖, max ‖w − its TF32‖]; few enough numbers to
// stay in the cache of `screenRows`. Blocks of 32 × 8 threads own 32 columns.
extern "C" __global__ void transposeWithNorms(const float* W, float* WT, float* groupNorms, int d, int n) {
  __shared__ float tile[32][33];
  __shared__ float sums[8][32], losses[8][32];
  const int tx = threadIdx.x & 31, ty = threadIdx.x >> 5;
  const int column = blockIdx.x * 32 + tx;
  float sum = 0, lost = 0;
  for (int j0 = 0; j0 < d; j0 += 32) {
    float own[4];
#pragma unroll
    for (int u = 0; u < 4; u++) {
      const int r = ty + 8 * u;
      own[u] = j0 + r < d && column < n ? loadOnce(W + (long long)(j0 + r) * n + column) : 0;
    }
    __syncthreads();
#pragma unroll
    for (int u = 0; u < 4; u++) {
      const float e = lostInTf32(own[u]);
      tile[ty + 8 * u][tx] = own[u];
      sum += own[u] * own[u];
      lost += e * e;
    }
    __syncthreads();
    for (int r = ty; r < 32; r += 8) {
      const int latent = blockIdx.x * 32 + r;
      if (latent < n && j0 + tx < d) WT[(long long)latent * d + j0 + tx] = tile[tx][r];
    }
  }
  sums[ty][tx] = sum;
  losses[ty][tx] = lost;
  __syncthreads();
  if (ty > 0) return;
  for (int r = 1; r < 8; r++) {
    sum += sums[r][tx];
    lost += losses[r][tx];
  }
  const int unbounded = __ballot_sync(ALL_LANES, !(sum < INFINITE)) != 0; // fmaxf would pass over a NaN
  const float most = warpMax(sum), mostLost = warpMax(lost);
  if (tx > 0) return;
  groupNorms[2 * blockIdx.x] = unbounded ? INFINITE : sqrtf(most);
  groupNorms[2 * blockIdx.x + 1] = sqrtf(mostLost);
}

// M pre-activations of a row in float32, by a warp and each in a fixed order; the results are in every lane.
template <int M>
__device__ __forceinline__ void exactPres(const float* x, const float* const (&w)[M], float (&out)[M], int d) {
  const int lane = threadIdx.x & 31;
  float other[M];
#pragma unroll
  for (int m = 0; m < M; m++) out[m] = other[m] = 0;
  if ((d & 3) == 0) {
    int j = lane * 4;
#pragma unroll 2
    for (; j + 128 < d; j += 256) {
      const float4 x0 = __ldg((const float4*)(x + j)), x1 = __ldg((const float4*)(x + j + 128));
#pragma unroll
      for (int m = 0; m < M; m++) {
        out[m] += dot4(x0, __ldg((const float4*)(w[m] + j)));
        other[m] += dot4(x1, __ldg((const float4*)(w[m] + j + 128)));
      }
    }
    if (j < d) {
#pragma unroll
      for (int m = 0; m < M; m++) out[m] += dot4(__ldg((const float4*)(x + j)), __ldg((const float4*)(w[m] + j)));
    }
  } else {
    for (int j = lane; j < d; j += 32) {
#pragma unroll
      for (int m = 0; m < M; m++) out[m] += x[j] * w[m][j];
    }
  }
#pragma unroll
  for (int m = 0; m < M; m++) out[m] = warpSum(out[m] + other[m]);
}

__device__ __forceinline__ float scoreOf(float a, int magnitude) { return magnitude ? fabsf(a) : a; }

// Where a latent begins to belong to the list under the ABOVE rules.
__device__ __forceinline__ float barOf(int rule, float cutoff, float margin, const float* threshold, int i) {
  return rule == ABOVE_THRESHOLD ? threshold[i] - margin : cutoff;
}

// Four neighbouring latents' pre-activations; 0 beyond the last.
template <bool WIDE>
__device__ __forceinline__ float4 loadFour(const float* row, int i, int n) {
  if (WIDE) return i < n ? loadFourOnce(row + i) : make_float4(0, 0, 0, 0);
  return make_float4(i < n ? row[i] : 0, i + 1 < n ? row[i + 1] : 0, i + 2 < n ? row[i + 2] : 0, i + 3 < n ? row[i + 3] : 0);
}

template <bool WIDE>
__device__ __forceinline__ float4 addBias(float4 p, const float* bias, int i, int n) {
  float4 b;
  if (WIDE) b = i < n ? __ldg(reinterpret_cast<const float4*>(bias + i)) : make_float4(0, 0, 0, 0);
  else b = loadFour<false>(bias, i, n);
  return make_float4(p.x + b.x, p.y + b.y, p.z + b.z, p.w + b.w);
}

// The bound of the error of four neighbours (without what grows with their own size).
struct ErrorOf {
  float first, second;
  const float2* groups; // 0: pre-activations are exact
  __device__ __forceinline__ float operator()(int i) const {
    if (!groups) return 0;
    const float2 g = __ldg(groups + (i >> 5));
    return first * g.x + second * g.y;
  }
};

// The `wanted`-th largest of a block's `groups` numbers a thread, down to the bit `last`; 0 where fewer are above 0. Positive
// floats are ordered as their bits are.
template <int MOST>
__device__ __forceinline__ float rankedFromTop(const float (&values)[MOST], int groups, int wanted, int last) {
  u32 prefix = 0;
  for (int bit = 30; bit >= last; bit--) {
    const u32 probe = prefix | (1u << bit);
    int above = 0;
#pragma unroll
    for (int g = 0; g < MOST; g++)
      if (g < groups) above += __syncthreads_count(values[g] > 0 && __float_as_uint(values[g]) >= probe);
    if (above >= wanted) prefix = probe;
  }
  return __uint_as_float(prefix);
}

#define SCREEN_PARAMS                                                                                                       \
  const float *pre, const float *x, const float *WT, const float *bias, const float *rowNorms, const float *groupNorms,      \
      const float *threshold, int rule, int magnitude, int limit, float cutoff, float margin, int *indices, float *values,   \
      int *counts, float *listedPre, float *dropped, int *flags, int d, int n, int capacity
#define SCREEN_ARGS                                                                                                          \
  pre, x, WT, bias, rowNorms, groupNorms, threshold, rule, magnitude, limit, cutoff, margin, indices, values, counts,        \
      listedPre, dropped, flags, d, n, capacity

template <bool WIDE>
__device__ __forceinline__ void screenRow(SCREEN_PARAMS) {
  __shared__ int candidate[SCREENED];
  __shared__ float lower[SCREENED], exact[SCREENED];
  __shared__ unsigned short chosen[SCREENED];
  __shared__ unsigned char kept[SCREENED];
  __shared__ int found, listed, sure, size;
  __shared__ float left;
  const int row = blockIdx.x, t = threadIdx.x, warp = t >> 5, warps = blockDim.x >> 5;
  const float* p = pre + (long long)row * n;
  const bool approximate = groupNorms != 0;
  const float relative = approximate ? 2.4e-7f : 0; // of the bias that is added
  const ErrorOf errorOf = {approximate ? rowNorms[2 * row] : 0, approximate ? rowNorms[2 * row + 1] : 0,
                           reinterpret_cast<const float2*>(groupNorms)};
  const int ranked = rule == PER_ROW || rule == PER_BATCH;
  const int wanted = rule == PER_BATCH ? limit + 1 : limit;

  // The first attempt takes its threshold from a sample; where that is too high or far too low, the second from all of the row:
  // the `wanted`-th largest of the threads' largest lower bounds, so that at least as many are above it.
  int count = 0;
  for (int attempt = ranked && wanted <= 128 && n >= 32 * SAMPLE * 16 ? 0 : 1;; attempt++) {
    float cut = 0;
    if (ranked) {
      float most[MAX_GROUPS];
#pragma unroll
      for (int g = 0; g < MAX_GROUPS; g++) most[g] = 0;
      const int stretch = attempt == 0 ? SAMPLE : 1;
      for (int q0 = 0; q0 * 32 < n; q0 += 2 * (SCREEN_THREADS / 8) * stretch) {
        float4 four[2];
        int at[2];
#pragma unroll
        for (int u = 0; u < 2; u++) {
          at[u] = (q0 + (u * (SCREEN_THREADS / 8) + (t >> 3)) * stretch) * 32 + (t & 7) * 4;
          four[u] = loadFour<WIDE>(p, at[u], n);
        }
#pragma unroll
        for (int u = 0; u < 2; u++) {
          if (at[u] >= n) continue;
          const float4 a = addBias<WIDE>(four[u], bias, at[u], n);
          const float error = errorOf(at[u]), own[4] = {a.x, a.y, a.z, a.w};
#pragma unroll
          for (int c = 0; c < 4; c++)
            if (WIDE || at[u] + c < n)
              most[4 * u + c] = fmaxf(most[4 * u + c], scoreOf(own[c], magnitude) - error - relative * fabsf(own[c]));
        }
      }
      int groups = MAX_GROUPS, rank = wanted;
      if (attempt == 0) {
        // a sample's rank that all but never has fewer than `wanted` of the whole row above it
        rank = wanted / SAMPLE + 3 * (int)sqrtf((float)wanted / SAMPLE) + 4;
        groups = rank <= 24 ? 1 : 2;
      } else {
        groups = wanted <= 64 ? 1 : wanted <= 128 ? 2 : wanted <= 256 ? 4 : MAX_GROUPS;
      }
#pragma unroll
      for (int half = MAX_GROUPS / 2; half >= 1; half >>= 1)
#pragma unroll
        for (int g = 0; g < MAX_GROUPS / 2; g++)
          if (g < half && half >= groups) most[g] = fmaxf(most[g], most[g + half]);
      cut = rankedFromTop(most, groups, rank, 16);
    }

    __syncthreads();
    if (t == 0) found = sure = 0;
    __syncthreads();
    float poison = 0; // NaN once anything is not finite
    for (int i0 = 0; i0 < n; i0 += 4 * 4 * SCREEN_THREADS) {
      float4 four[4];
#pragma unroll
      for (int u = 0; u < 4; u++) four[u] = loadFour<WIDE>(p, i0 + 4 * (u * SCREEN_THREADS + t), n);
#pragma unroll
      for (int u = 0; u < 4; u++) {
        const int i = i0 + 4 * (u * SCREEN_THREADS + t);
        if (i >= n) break;
        const float4 a = addBias<WIDE>(four[u], bias, i, n);
        const float error = errorOf(i);
        const float4 score = make_float4(scoreOf(a.x, magnitude), scoreOf(a.y, magnitude), scoreOf(a.z, magnitude),
                                         scoreOf(a.w, magnitude));
        poison += 0 * (a.x + a.y) + 0 * (a.z + a.w) + 0 * error;
        if (ranked) {
          const float most = fmaxf(fmaxf(score.x, score.y), fmaxf(score.z, score.w));
          if (!(most + relative * fabsf(most) + error >= cut)) continue;
        }
        const float own[4] = {a.x, a.y, a.z, a.w}, scores[4] = {score.x, score.y, score.z, score.w};
#pragma unroll
        for (int c = 0; c < 4; c++) {
          if (!WIDE && i + c >= n) break;
          const float slack = error + relative * fabsf(own[c]);
          const float bar = ranked ? cut : barOf(rule, cutoff, margin, threshold, i + c);
          if (!(scores[c] + slack >= bar) || (ranked && !(scores[c] + slack > 0))) continue;
          if (!ranked && scores[c] - slack > bar) atomicAdd(&sure, 1);
          const int at = atomicAdd(&found, 1);
          if (at >= SCREENED) continue;
          candidate[at] = i + c;
          lower[at] = scores[c] - slack;
          exact[at] = own[c];
        }
      }
    }
    if (__syncthreads_or(!(poison == 0))) {
      if (t == 0) flags[row] = 1;
      return;
    }
    count = found;
    if (attempt == 0 && count > SCREENED) continue;
    if (count > SCREENED) {
      const int hopeless = !ranked && sure > capacity; // the caller has to come back with longer lists anyway
      if (t == 0) flags[row] = !hopeless;
      if (!hopeless) return;
      for (int at = t; at < capacity; at += blockDim.x) {
        indices[(long long)row * capacity + at] = n;
        values[(long long)row * capacity + at] = 0;
        if (listedPre) listedPre[(long long)row * capacity + at] = 0;
      }
      if (t == 0) counts[row] = sure;
      return;
    }
    float nearer = 0;
    if (ranked) {
      float own[SCREENED / SCREEN_THREADS];
#pragma unroll
      for (int g = 0; g < SCREENED / SCREEN_THREADS; g++)
        own[g] = g * SCREEN_THREADS + t < count ? lower[g * SCREEN_THREADS + t] : 0;
      nearer = rankedFromTop(own, (count + SCREEN_THREADS - 1) / SCREEN_THREADS, wanted, 8);
      if (attempt == 0 && nearer < cut) continue; // fewer than `wanted` are surely above the estimate
    }
    if (t == 0) size = 0;
    __syncthreads();
    for (int c = t; c < count; c += SCREEN_THREADS) {
      const float score = scoreOf(exact[c], magnitude);
      if (!ranked || score + (score - lower[c]) >= nearer) chosen[atomicAdd(&size, 1)] = (unsigned short)c;
    }
    break;
  }
  __syncthreads();

  if (approximate) {
    for (int c = warp; c < size; c += 2 * warps) {
      const int first = chosen[c], other = chosen[min(c + warps, size - 1)];
      const float* const w[2] = {WT + (long long)candidate[first] * d, WT + (long long)candidate[other] * d};
      float a[2];
      exactPres<2>(x + (long long)row * d, w, a, d);
      if ((t & 31) != 0) continue;
      exact[first] = a[0] + bias[candidate[first]];
      if (c + warps < size) exact[other] = a[1] + bias[candidate[other]];
    }
  }
  if (t == 0) {
    listed = 0;
    left = 0;
  }
  __syncthreads();

  for (int c = t; c < size; c += blockDim.x) {
    const int own = chosen[c], i = candidate[own];
    const float score = scoreOf(exact[own], magnitude);
    int keep;
    if (ranked) {
      int better = 0;
      for (int o = 0; o < size; o++) {
        const float other = scoreOf(exact[chosen[o]], magnitude);
        better += other > score || (other == score && candidate[chosen[o]] < i);
      }
      keep = score > 0 && better < limit;
      if (score > 0 && better == limit) left = score; // one thread at most
    } else {
      keep = score > barOf(rule, cutoff, margin, threshold, i);
    }
    kept[c] = keep;
    if (keep) atomicAdd(&listed, 1);
  }
  __syncthreads();
  const long long to = (long long)row * capacity;
  for (int c = t; c < size; c += blockDim.x) {
    if (!kept[c]) continue;
    const int i = candidate[chosen[c]];
    int at = 0;
    for (int o = 0; o < size; o++) at += kept[o] && candidate[chosen[o]] < i;
    if (at >= capacity) continue;
    const float a = exact[chosen[c]];
    indices[to + at] = i;
    values[to + at] = rule == ABOVE_THRESHOLD && !(scoreOf(a, magnitude) > threshold[i]) ? 0 : a;
    if (listedPre) listedPre[to + at] = a;
  }
  for (int at = listed + t; at < capacity; at += blockDim.x) {
    indices[to + at] = n;
    values[to + at] = 0;
    if (listedPre) listedPre[to + at] = 0;
  }
  if (t == 0) {
    counts[row] = listed;
    flags[row] = 0;
    if (dropped) dropped[row] = left;
  }
}

extern "C" __global__ void __launch_bounds__(256, 4) screenRows(SCREEN_PARAMS) { screenRow<false>(SCREEN_ARGS); }
extern "C" __global__ void __launch_bounds__(256, 4) screenRowsWide(SCREEN_PARAMS) { screenRow<true>(SCREEN_ARGS); }

// Rows that screening gave up on: the whole row of pre-activations in float32 (without the bias, as a matrix product has it).
// All blocks share the latents of each such row.
extern "C" __global__ void __launch_bounds__(256)
    exactRows(float* pre, const float* x, const float* WT, const int* flags, int rows, int d, int n) {
  const int warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  for (int row0 = 0; row0 < rows; row0 += blockDim.x) {
    const int own = row0 + threadIdx.x;
    if (!__syncthreads_or(own < rows && flags[own])) continue;
    for (int row = row0; row < min(rows, row0 + (int)blockDim.x); row++) {
      if (!flags[row]) continue;
      for (int i = blockIdx.x * warps + warp; i < n; i += gridDim.x * warps) {
        const float* const w[1] = {WT + (long long)i * d};
        float a[1];
        exactPres<1>(x + (long long)row * d, w, a, d);
        if ((threadIdx.x & 31) == 0) pre[(long long)row * n + i] = a[0];
      }
    }
  }
}

// The list of a row from float32 pre-activations; with `flags` only of flagged rows. A row that holds a value that is not
// finite lists NaN first, so that the loss shows it.
#define SELECT_PARAMS                                                                                                     \
  const float *pre, const float *bias, const float *threshold, const int *flags, int rule, int magnitude, int limit,      \
      float cutoff, float margin, int *indices, float *values, int *counts, float *listedPre, float *dropped, int n,      \
      int capacity
extern "C" __global__ void __launch_bounds__(256) selectExact(SELECT_PARAMS) {
  __shared__ int histogram[256];
  __shared__ int scan[33];
  __shared__ float scratch[32];
  __shared__ u32 prefix;
  __shared__ int remaining, all;
  const int row = blockIdx.x, t = threadIdx.x;
  if (flags && !flags[row]) return;
  const float* p = pre + (long long)row * n;
  const int ranked = rule == PER_ROW || rule == PER_BATCH;
  int bad = 0;
  for (int i = t; i < n; i += blockDim.x) bad |= !(fabsf(p[i] + bias[i]) < INFINITE);
  bad = __syncthreads_or(bad);

  // the key of the `limit`-th largest positive score and how many equal to it are kept; all where there are fewer
  u32 key = 0;
  int ties = 0;
  if (ranked) {
    if (t == 0) {
      prefix = 0;
      remaining = limit;
      all = 0;
    }
    for (int shift = 24; shift >= 0; shift -= 8) {
      for (int b = t; b < 256; b += blockDim.x) histogram[b] = 0;
      __syncthreads();
      const u32 high = prefix;
      for (int i = t; i < n; i += blockDim.x) {
        const float score = scoreOf(p[i] + bias[i], magnitude);
        if (!(score > 0)) continue;
        const u32 k = __float_as_uint(score);
        if (shift == 24 || (k >> (shift + 8)) == (high >> (shift + 8))) atomicAdd(&histogram[(k >> shift) & 255], 1);
      }
      __syncthreads();
      if (t == 0) {
        int above = 0, bin = 255;
        for (; bin > 0 && above + histogram[bin] < remaining; bin--) above += histogram[bin];
        if (above + histogram[bin] < remaining) all = 1; // only possible in the first pass
        remaining -= above;
        prefix = high | ((u32)bin << shift);
      }
      __syncthreads();
      if (all) break;
    }
    if (!all) {
      key = prefix;
      ties = remaining;
    }
    if (limit == 0) {
      key = 0xffffffffu;
      ties = 0;
    }
  }

  const long long to = (long long)row * capacity;
  int listed = 0, tied = 0;
  float left = 0;
  for (int i0 = 0; i0 < n; i0 += 4 * blockDim.x) {
    const int i = i0 + 4 * t;
    float a[4];
    int keep[4], tie[4], kept = 0, ties4 = 0;
#pragma unroll
    for (int c = 0; c < 4; c++) {
      a[c] = i + c < n ? p[i + c] + bias[i + c] : 0;
      const float score = scoreOf(a[c], magnitude);
      const u32 k = score > 0 ? __float_as_uint(score) : 0;
      tie[c] = i + c < n && ranked && k == key && k > 0;
      keep[c] = i + c < n && (ranked ? k > key : score > barOf(rule, cutoff, margin, threshold, i + c));
      ties4 += tie[c];
    }
    if (ranked && __syncthreads_or(ties4)) {
      int total;
      int before = tied + blockScan(ties4, scan, total);
      tied += total;
#pragma unroll
      for (int c = 0; c < 4; c++) {
        if (tie[c] && before < ties) keep[c] = 1;
        before += tie[c];
      }
    }
#pragma unroll
    for (int c = 0; c < 4; c++) {
      kept += keep[c];
      if (ranked && !keep[c] && scoreOf(a[c], magnitude) > left) left = scoreOf(a[c], magnitude);
    }
    if (!__syncthreads_or(kept)) continue;
    int total;
    int at = listed + blockScan(kept, scan, total);
    listed += total;
#pragma unroll
    for (int c = 0; c < 4; c++) {
      if (!keep[c]) continue;
      if (at < capacity) {
        indices[to + at] = i + c;
        values[to + at] = rule == ABOVE_THRESHOLD && !(scoreOf(a[c], magnitude) > threshold[i + c]) ? 0 : a[c];
        if (listedPre) listedPre[to + at] = a[c];
      }
      at++;
    }
  }
  for (int at = listed + t; at < capacity; at += blockDim.x) {
    indices[to + at] = n;
    values[to + at] = 0;
    if (listedPre) listedPre[to + at] = 0;
  }
  if (dropped) left = blockMax(left, scratch);
  __syncthreads();
  if (t == 0) {
    if (dropped) dropped[row] = left;
    if (bad) {
      if (listed == 0) {
        listed = 1;
        indices[to] = 0;
      }
      values[to] = NOT_A_NUMBER;
    }
    counts[row] = listed;
  }
}

// The `keep` largest scores of a batch, from lists that hold the largest of each row. state: [prefix, remaining, total, ties].
#define SCORE_KEY(v) (magnitude ? __float_as_uint(fabsf(v)) : __float_as_uint(v))
extern "C" __global__ void batchHistogram(const float* values, const int* counts, const int* state, int* histogram,
                                          int magnitude, int shift, int rows, int capacity) {
  __shared__ int local[256];
  for (int b = threadIdx.x; b < 256; b += blockDim.x) local[b] = 0;
  __syncthreads();
  const u32 high = (u32)state[0];
  for (int row = blockIdx.x; row < rows; row += gridDim.x) {
    const int count = min(counts[row], capacity);
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
      const float v = values[(long long)row * capacity + i];
      if (!(v == v)) continue;
      const u32 k = SCORE_KEY(v);
      if (shift == 24 || (k >> (shift + 8)) == (high >> (shift + 8))) atomicAdd(&local[(k >> shift) & 255], 1);
    }
  }
  __syncthreads();
  for (int b = threadIdx.x; b < 256; b += blockDim.x)
    if (local[b]) atomicAdd(&histogram[b], local[b]);
}

// One thread: the bin that holds the `keep`-th largest; clears the histogram for the next digit.
extern "C" __global__ void batchPick(int* state, int* histogram, int keep, int shift) {
  if (threadIdx.x > 0) return;
  if (shift == 24) {
    int total = 0;
    for (int b = 0; b < 256; b++) total += histogram[b];
    state[2] = total;
    state[1] = min(keep, total);
  }
  int remaining = state[1], bin = 255, above = 0;
  for (; bin > 0 && above + histogram[bin] < remaining; bin--) above += histogram[bin];
  state[1] = remaining - above;
  state[0] = (int)((u32)state[0] | ((u32)bin << shift));
  for (int b = 0; b < 256; b++) histogram[b] = 0;
}

// How many entries of each row are equal to the cut.
extern "C" __global__ void batchTies(const float* values, const int* counts, const int* state, int* ties, int magnitude,
                                     int capacity) {
  __shared__ int scratch[32];
  const int row = blockIdx.x, count = min(counts[row], capacity);
  int sum = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    const float v = values[(long long)row * capacity + i];
    sum += SCORE_KEY(v) == (u32)state[0];
  }
  sum = blockSum(sum, scratch);
  if (threadIdx.x == 0) ties[row] = sum;
}

// Cuts the lists in place to what the batch keeps (ties: in the order of rows, then latents). A row whose largest dropped
// score would have belonged to the batch says so by a count above the capacity.
extern "C" __global__ void batchCut(int* indices, float* values, int* counts, const float* dropped, const int* state,
                                    const int* tiesBefore, float* smallest, int magnitude, int keep, int capacity, int n) {
  __shared__ int scan[33];
  const int row = blockIdx.x, count = min(counts[row], capacity);
  const u32 key = (u32)state[0];
  const float cut = __uint_as_float(key);
  const long long to = (long long)row * capacity;
  int listed = 0, tied = tiesBefore[row];
  for (int i0 = 0; i0 < count; i0 += blockDim.x) {
    const int i = i0 + threadIdx.x;
    const float v = i < count ? values[to + i] : 0;
    const int index = i < count ? indices[to + i] : n;
    const int real = i < count && v == v;
    const int tie = real && SCORE_KEY(v) == key;
    int total;
    const int rank = tied + blockScan(tie, scan, total);
    tied += total;
    const int hold = i < count && (!(v == v) || SCORE_KEY(v) > key || (tie && rank < state[1]));
    const int at = listed + blockScan(hold, scan, total);
    listed += total;
    if (hold) {
      values[to + at] = v;
      indices[to + at] = index;
    }
  }
  __syncthreads();
  for (int i = listed + threadIdx.x; i < count; i += blockDim.x) {
    values[to + i] = 0;
    indices[to + i] = n;
  }
  if (threadIdx.x == 0) {
    const float lost = dropped[row];
    counts[row] = lost > cut || (state[2] < keep && lost > 0) ? capacity + 1 : listed;
    if (row == 0) smallest[0] = state[2] == 0 ? 0 : cut;
  }
}
