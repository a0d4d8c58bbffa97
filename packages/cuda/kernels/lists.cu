// Active lists transposed: the entries of every latent, in the order of the rows, without sorting. A bit matrix
// [N, rows/32] says who is active where; an entry's place is its latent's offset plus the number of bits before its row.

// Also counts every latent's entries.
extern "C" __global__ void markEntries(const int* indices, const int* counts, u32* bits, int* totals, int rows, int capacity,
                                       int words) {
  const int row = blockIdx.x;
  const int count = min(counts[row], capacity);
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    const int latent = indices[(long long)row * capacity + i];
    atomicOr(&bits[(long long)latent * words + (row >> 5)], 1u << (row & 31));
    atomicAdd(&totals[latent], 1);
  }
}

// offsets[i] = Σ_{j<i} totals[j] for i = 0 … n, by one block.
extern "C" __global__ void __launch_bounds__(1024) scanTotals(const int* totals, int* offsets, int n) {
  __shared__ int scratch[33];
  const int each = (n + blockDim.x - 1) / blockDim.x;
  const int from = min(n, (int)threadIdx.x * each), to = min(n, from + each);
  int sum = 0;
  for (int i = from; i < to; i++) sum += totals[i];
  int total;
  int at = blockScan(sum, scratch, total);
  for (int i = from; i < to; i++) {
    offsets[i] = at;
    at += totals[i];
  }
  if (threadIdx.x == 0) offsets[n] = total;
}

// The same, and the parts in which latents with many entries are added up, of SEGMENT each. The first part is the latent's own;
// of the others, partOffsets[i] is the first of latent i, and partLatents the latent of each. By one block; `totals` are 0 from
// n up to a multiple of four.
extern "C" __global__ void __launch_bounds__(1024)
    scanLatents(const int* totals, int* offsets, int* partOffsets, int* partLatents, int n) {
  __shared__ u64 scratch[33];
  const int fours = (n + 3) / 4, each = (fours + blockDim.x - 1) / blockDim.x;
  const int from = min(fours, (int)threadIdx.x * each), to = min(fours, from + each);
  // parts above, entries below
  u64 sum = 0;
#pragma unroll 8
  for (int f = from; f < to; f++) {
    const int4 v = reinterpret_cast<const int4*>(totals)[f];
    sum += (u64)(v.x + v.y + v.z + v.w);
    sum += (u64)(max(0, v.x - 1) / SEGMENT + max(0, v.y - 1) / SEGMENT + max(0, v.z - 1) / SEGMENT +
                 max(0, v.w - 1) / SEGMENT) << 32;
  }
  u64 total;
  u64 at = blockScan(sum, scratch, total);
#pragma unroll 2
  for (int f = from; f < to; f++) {
    const int4 v = reinterpret_cast<const int4*>(totals)[f];
    const int four[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int c = 0; c < 4; c++) {
      if (4 * f + c >= n) break;
      const int part = (int)(at >> 32), parts = max(0, four[c] - 1) / SEGMENT;
      offsets[4 * f + c] = (int)at;
      partOffsets[4 * f + c] = part;
      for (int p = 0; p < parts; p++) partLatents[part + p] = 4 * f + c;
      at += (u64)four[c] + ((u64)parts << 32);
    }
  }
  if (threadIdx.x > 0) return;
  offsets[n] = (int)total;
  partOffsets[n] = (int)(total >> 32);
}

// entries[…] = the entry's place in the lists, row · capacity + i. A warp goes through a row's list.
extern "C" __global__ void placeEntries(const int* indices, const int* counts, const u32* bits, const int* offsets,
                                        int* entries, int rows, int capacity, int words) {
  const int row = blockIdx.x;
  const int count = min(counts[row], capacity);
  const int whole = row >> 5;
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    const int latent = indices[(long long)row * capacity + i];
    const u32* own = bits + (long long)latent * words;
    int rank = __popc(own[whole] & ((1u << (row & 31)) - 1));
    int w = 0;
    if ((words & 3) == 0) {
      for (; w + 4 <= whole; w += 4) {
        const uint4 four = *reinterpret_cast<const uint4*>(own + w);
        rank += __popc(four.x) + __popc(four.y) + __popc(four.z) + __popc(four.w);
      }
    }
    for (; w < whole; w++) rank += __popc(own[w]);
    entries[offsets[latent] + rank] = row * capacity + i;
  }
}
