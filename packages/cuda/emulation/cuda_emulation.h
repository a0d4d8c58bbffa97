// CUDA on the CPU, for tests: the kernels of ../kernels compile against this header with g++. A block's threads are fibres
// that give way only at barriers and warp intrinsics; blocks run one after the other, so `__shared__` is `static`.
// Threads that never wait share one fibre: a kernel without barriers is a plain loop.
#pragma once
#include <csetjmp>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <ucontext.h>
#include <utility>
#include <vector>

#define MSAE_EMULATED 1
#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define DYNAMIC_SHARED(name) unsigned char* name = emulation::dynamicShared

struct dim3 {
  unsigned x, y, z;
};
struct float2 {
  float x, y;
};
struct __align__(16) float4 {
  float x, y, z, w;
};
struct __align__(16) int4 {
  int x, y, z, w;
};
struct __align__(16) uint4 {
  unsigned x, y, z, w;
};
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

static dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

alignas(64) static unsigned char dynamicShared[256 * 1024];

enum State { WAITING_BLOCK, WAITING_WARP, RUNNABLE, DONE };

struct Fibre {
  ucontext_t context;
  jmp_buf resume;
  bool started = false;
  unsigned thread = 0;  // the thread it holds while that waits
  std::vector<char> stack;
};

struct Thread {
  State state = DONE;
  Fibre* fibre = nullptr;
  unsigned shuffles = 0;
};

static jmp_buf scheduler;
static std::vector<Fibre*> idle, all;
static std::vector<Thread> threads;
static std::vector<unsigned> warpWaiting, warpAlive;
static std::vector<uint64_t> slots;  // [warp][parity][lane]
static unsigned count, next, current, blockWaiting, blockAlive;
static long reduction[2], reductionTotal;  // of __syncthreads_count and _or
static void (*body)(void**);
static void** arguments;
static Fibre* running;

static inline void place(unsigned thread) {
  current = thread;
  threadIdx = {thread % blockDim.x, (thread / blockDim.x) % blockDim.y, thread / (blockDim.x * blockDim.y)};
}

static inline void releaseBlock() {
  for (auto& t : threads)
    if (t.state == WAITING_BLOCK) t.state = RUNNABLE;
  blockWaiting = 0;
  reductionTotal = reduction[0];
  reduction[0] = 0;
}

static inline void releaseWarp(unsigned warp) {
  for (unsigned t = warp * 32; t < count && t < warp * 32 + 32; t++)
    if (threads[t].state == WAITING_WARP) threads[t].state = RUNNABLE;
  warpWaiting[warp] = 0;
}

static inline void finish(unsigned thread) {
  threads[thread].state = DONE;
  blockAlive--;
  const unsigned warp = thread / 32;
  warpAlive[warp]--;
  if (blockAlive > 0 && blockWaiting == blockAlive) releaseBlock();
  if (warpAlive[warp] > 0 && warpWaiting[warp] == warpAlive[warp]) releaseWarp(warp);
}

// What a fibre does: threads one after the other for as long as none of them waits.
static void work() {
  for (;;) {
    while (next < count) {
      const unsigned thread = next++;
      threads[thread].fibre = running;
      threads[thread].state = RUNNABLE;
      place(thread);
      Fibre* self = running;
      body(arguments);
      running = self;
      finish(current);
    }
    Fibre* self = running;
    idle.push_back(self);
    if (!_setjmp(self->resume)) _longjmp(scheduler, 1);
  }
}

static void enter(Fibre* fibre) {
  running = fibre;
  if (_setjmp(scheduler)) return;
  if (fibre->started) _longjmp(fibre->resume, 1);
  fibre->started = true;
  setcontext(&fibre->context);
}

static Fibre* takeFibre() {
  if (!idle.empty()) {
    Fibre* fibre = idle.back();
    idle.pop_back();
    return fibre;
  }
  Fibre* fibre = new Fibre;
  fibre->stack.resize(64 * 1024);
  getcontext(&fibre->context);
  fibre->context.uc_stack.ss_sp = fibre->stack.data();
  fibre->context.uc_stack.ss_size = fibre->stack.size();
  fibre->context.uc_link = nullptr;
  makecontext(&fibre->context, work, 0);
  all.push_back(fibre);
  return fibre;
}

static inline void yieldThread() {
  const unsigned thread = current;
  Fibre* self = running;
  if (!_setjmp(self->resume)) _longjmp(scheduler, 1);
  running = self;
  place(thread);
}

static inline void blockBarrier() {
  if (++blockWaiting == blockAlive) return releaseBlock();
  threads[current].state = WAITING_BLOCK;
  yieldThread();
}

static inline void warpBarrier() {
  const unsigned warp = current / 32;
  if (++warpWaiting[warp] == warpAlive[warp]) return releaseWarp(warp);
  threads[current].state = WAITING_WARP;
  yieldThread();
}

// Returns 0, or 1 where the threads of a block wait for one another for ever.
static int runBlock() {
  count = blockDim.x * blockDim.y * blockDim.z;
  next = 0;
  blockWaiting = 0;
  blockAlive = count;
  reduction[0] = reductionTotal = 0;
  threads.assign(count, Thread());
  const unsigned warps = (count + 31) / 32;
  warpWaiting.assign(warps, 0);
  warpAlive.assign(warps, 32);
  if (count % 32) warpAlive[warps - 1] = count % 32;
  slots.resize(warps * 64);
  while (next < count) enter(takeFibre());
  while (blockAlive > 0) {
    bool progress = false;
    for (unsigned t = 0; t < count; t++) {
      if (threads[t].state != RUNNABLE) continue;
      progress = true;
      enter(threads[t].fibre);
    }
    if (!progress) return 1;
  }
  return 0;
}

template <typename T>
static inline T exchange(T value, unsigned from) {
  const unsigned warp = current / 32;
  uint64_t* slot = &slots[warp * 64 + (threads[current].shuffles++ & 1) * 32];
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof(T));
  slot[current % 32] = bits;
  warpBarrier();
  T out;
  memcpy(&out, &slot[from % 32], sizeof(T));
  return out;
}

static inline unsigned ballot(bool predicate) {
  const unsigned warp = current / 32;
  uint64_t* slot = &slots[warp * 64 + (threads[current].shuffles++ & 1) * 32];
  slot[current % 32] = predicate;
  warpBarrier();
  unsigned mask = 0;
  const unsigned width = count - warp * 32 < 32 ? count - warp * 32 : 32;
  for (unsigned lane = 0; lane < width; lane++)
    if (slot[lane] && threads[warp * 32 + lane].state != DONE) mask |= 1u << lane;
  return mask;
}

// The kernels by name, with their arguments taken from cuLaunchKernel's array.
struct Kernel {
  const char* name;
  void (*run)(void**);
};

template <auto function>
struct Invoke;
template <typename... Args, void (*function)(Args...)>
struct Invoke<function> {
  template <size_t... I>
  static void call(void** values, std::index_sequence<I...>) {
    function(*static_cast<std::remove_const_t<Args>*>(values[I])...);
  }
  static void run(void** values) { call(values, std::index_sequence_for<Args...>()); }
};

}  // namespace emulation

static inline void __syncthreads() { emulation::blockBarrier(); }
static inline int __syncthreads_count(int predicate) {
  emulation::reduction[0] += predicate != 0;
  emulation::blockBarrier();
  const int total = emulation::reductionTotal;
  emulation::blockBarrier();
  return total;
}
static inline int __syncthreads_or(int predicate) { return __syncthreads_count(predicate) != 0; }
static inline void __threadfence() {}
static inline void __syncwarp() { emulation::warpBarrier(); }
template <typename T>
static inline T __shfl_sync(unsigned, T value, int lane) {
  return emulation::exchange(value, lane);
}
template <typename T>
static inline T __shfl_xor_sync(unsigned, T value, int mask) {
  return emulation::exchange(value, (emulation::current % 32) ^ mask);
}
template <typename T>
static inline T __shfl_up_sync(unsigned, T value, unsigned by) {
  const unsigned lane = emulation::current % 32;
  return emulation::exchange(value, lane >= by ? lane - by : lane);
}
static inline unsigned __ballot_sync(unsigned, int predicate) { return emulation::ballot(predicate); }

static inline int __popc(unsigned v) { return __builtin_popcount(v); }
static inline unsigned __float_as_uint(float v) {
  unsigned out;
  memcpy(&out, &v, 4);
  return out;
}
static inline float __uint_as_float(unsigned v) {
  float out;
  memcpy(&out, &v, 4);
  return out;
}
template <typename T>
static inline T atomicAdd(T* at, T value) {
  const T old = *at;
  *at += value;
  return old;
}
static inline unsigned atomicOr(unsigned* at, unsigned value) {
  const unsigned old = *at;
  *at |= value;
  return old;
}
template <typename T>
static inline T __ldg(const T* at) {
  return *at;
}
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline float rsqrtf(float v) { return 1 / sqrtf(v); }
