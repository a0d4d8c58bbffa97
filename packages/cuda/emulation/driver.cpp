// The entry points of libcuda and cuBLAS that ../src/ffi calls, on the CPU. Included after the kernels; KERNELS is their list.
#include <chrono>
#include <unordered_map>

#define EXPORT extern "C" __attribute__((visibility("default")))
typedef unsigned long long Pointer;

namespace {
const size_t GUARD = 64;
const unsigned char GUARD_BYTE = 0xA5;
std::unordered_map<Pointer, size_t> sizes;
size_t used = 0;
const size_t TOTAL = 4ull << 30;
int sticky = 0;
// Nothing is computed: what is left is the host's work, for profiles of it.
Pointer next_idle = 1 << 20;
const bool IDLE = getenv("MSAE_CUDA_IDLE") != nullptr;

bool intact(Pointer pointer, size_t bytes) {
  const unsigned char* at = reinterpret_cast<unsigned char*>(pointer);
  for (size_t i = 0; i < GUARD; i++)
    if (at[bytes + i] != GUARD_BYTE || (at - GUARD)[i] != GUARD_BYTE) return false;
  return true;
}
}  // namespace

EXPORT int cuInit(unsigned) { return 0; }
EXPORT int cuDriverGetVersion(int* version) { return *version = 13000, 0; }
EXPORT int cuDeviceGetCount(int* count) { return *count = 1, 0; }
EXPORT int cuDeviceGet(int* device, int index) { return *device = index, index == 0 ? 0 : 101; }
EXPORT int cuDeviceGetName(char* name, int length, int) {
  snprintf(name, length, "emulated CUDA device");
  return 0;
}
EXPORT int cuDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == 16 ? 2 : attribute == 75 ? 8 : attribute == 76 ? 0 : attribute == 97 ? 128 * 1024 : 0;
  return 0;
}
EXPORT int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = TOTAL, 0; }
EXPORT int cuDevicePrimaryCtxRetain(Pointer* context, int) { return *context = 1, 0; }
EXPORT int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
EXPORT int cuCtxSetCurrent(Pointer) { return 0; }
EXPORT int cuMemGetInfo_v2(size_t* free, size_t* total) { return *free = TOTAL - used, *total = TOTAL, 0; }

// Fresh memory is NaN, and guarded on both sides: what a kernel forgets to write, or writes outside, shows.
EXPORT int cuMemAlloc_v2(Pointer* pointer, size_t bytes) {
  if (IDLE) return *pointer = next_idle, next_idle += (bytes + 255) / 256 * 256, sizes[*pointer] = 0, 0;
  if (used + bytes > TOTAL) return 2;
  unsigned char* base = static_cast<unsigned char*>(aligned_alloc(64, (bytes + 3 * GUARD) / 64 * 64 + 64));
  if (base == nullptr) return 2;
  memset(base, GUARD_BYTE, GUARD);
  memset(base + GUARD, 0xFF, bytes);
  memset(base + GUARD + bytes, GUARD_BYTE, GUARD);
  *pointer = reinterpret_cast<Pointer>(base + GUARD);
  sizes[*pointer] = bytes;
  used += bytes;
  return 0;
}
EXPORT int cuMemFree_v2(Pointer pointer) {
  if (IDLE) return 0;
  const auto found = sizes.find(pointer);
  if (found == sizes.end()) return 1;
  const bool ok = intact(pointer, found->second);
  used -= found->second;
  sizes.erase(found);
  free(reinterpret_cast<unsigned char*>(pointer) - GUARD);
  return ok ? 0 : 700;
}
EXPORT int cuMemAllocHost_v2(Pointer* pointer, size_t bytes) {
  return *pointer = reinterpret_cast<Pointer>(malloc(bytes)), 0;
}
EXPORT int cuMemcpyHtoDAsync_v2(Pointer to, const void* from, size_t bytes, Pointer) {
  return IDLE ? 0 : (memcpy(reinterpret_cast<void*>(to), from, bytes), 0);
}
EXPORT int cuMemcpyDtoHAsync_v2(void* to, Pointer from, size_t bytes, Pointer) {
  if (IDLE) return memset(to, 0, bytes), 0;
  return memcpy(to, reinterpret_cast<void*>(from), bytes), sticky;
}
EXPORT int cuMemcpyDtoDAsync_v2(Pointer to, Pointer from, size_t bytes, Pointer) {
  return IDLE ? 0 : (memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes), 0);
}
EXPORT int cuMemsetD32Async(Pointer to, unsigned value, size_t words, Pointer) {
  if (IDLE) return 0;
  for (size_t i = 0; i < words; i++) reinterpret_cast<unsigned*>(to)[i] = value;
  return 0;
}
EXPORT int cuStreamCreate(Pointer* stream, unsigned) { return *stream = 1, 0; }
EXPORT int cuStreamDestroy_v2(Pointer) { return 0; }
EXPORT int cuStreamSynchronize(Pointer) { return sticky; }
EXPORT int cuEventCreate(Pointer* event, unsigned) {
  *event = reinterpret_cast<Pointer>(new double(0));
  return 0;
}
EXPORT int cuEventRecord(Pointer event, Pointer) {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  *reinterpret_cast<double*>(event) = std::chrono::duration<double, std::milli>(now).count();
  return 0;
}
EXPORT int cuEventQuery(Pointer) { return 0; }
EXPORT int cuEventSynchronize(Pointer) { return sticky; }
EXPORT int cuEventElapsedTime_v2(float* ms, Pointer from, Pointer to) {
  return *ms = *reinterpret_cast<double*>(to) - *reinterpret_cast<double*>(from), 0;
}
EXPORT int cuEventElapsedTime(float* ms, Pointer from, Pointer to) { return cuEventElapsedTime_v2(ms, from, to); }
EXPORT int cuEventDestroy_v2(Pointer event) { return delete reinterpret_cast<double*>(event), 0; }
EXPORT int cuModuleLoadData(Pointer* module, const void*) { return *module = 1, 0; }
EXPORT int cuModuleUnload(Pointer) { return 0; }
EXPORT int cuModuleGetFunction(Pointer* function, Pointer, const char* name) {
  for (const auto& kernel : KERNELS) {
    if (strcmp(kernel.name, name) != 0) continue;
    *function = reinterpret_cast<Pointer>(kernel.run);
    return 0;
  }
  return 500;
}
EXPORT int cuFuncSetAttribute(Pointer, int, int) { return 0; }
EXPORT int cuFuncGetAttribute(int* value, int, Pointer) { return *value = 0, 0; }
EXPORT int cuGetErrorName(int code, const char** name) {
  *name = code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : code == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR_UNKNOWN";
  return 0;
}
EXPORT int cuGetErrorString(int code, const char** text) {
  *text = code == 719 ? "a barrier that some threads never reach" : "emulated driver";
  return 0;
}
EXPORT int cuLaunchKernel(Pointer function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                          unsigned shared, Pointer, void** arguments, void**) {
  if (gx == 0 || gy == 0 || gz == 0 || gy > 65535 || gz > 65535 || bx * by * bz > 1024 || bx * by * bz == 0) return 1;
  if (shared > sizeof(emulation::dynamicShared)) return 1;
  if (IDLE) return 0;
  emulation::body = reinterpret_cast<void (*)(void**)>(function);
  emulation::arguments = arguments;
  gridDim = {gx, gy, gz};
  blockDim = {bx, by, bz};
  for (unsigned z = 0; z < gz; z++)
    for (unsigned y = 0; y < gy; y++)
      for (unsigned x = 0; x < gx; x++) {
        blockIdx = {x, y, z};
        if (emulation::runBlock()) return sticky = 719;
      }
  return 0;
}

EXPORT int cublasCreate_v2(Pointer* handle) { return *handle = 1, 0; }
EXPORT int cublasDestroy_v2(Pointer) { return 0; }
EXPORT int cublasSetStream_v2(Pointer, Pointer) { return 0; }
EXPORT int cublasSetWorkspace_v2(Pointer, Pointer, size_t) { return 0; }
EXPORT int cublasGetVersion_v2(Pointer, int* version) { return *version = 0, 0; }

// Column-major C = alpha op(A) op(B) + beta C. With CUBLAS_COMPUTE_32F_FAST_TF32 (77) the operands lose 13 bits as on a card.
EXPORT int cublasGemmStridedBatchedEx(Pointer, int opA, int opB, int m, int n, int k, const float* alpha, Pointer a, int, int lda,
                                      long long strideA, Pointer b, int, int ldb, long long strideB, const float* beta,
                                      Pointer c, int, int ldc, long long strideC, int batches, int compute, int) {
  if (IDLE) return 0;
  const auto rounded = [&](float v) {
    return compute == 77 ? __uint_as_float(__float_as_uint(v) & 0xffffe000u) : v;
  };
  for (int batch = 0; batch < batches; batch++) {
    const float* A = reinterpret_cast<const float*>(a) + batch * strideA;
    const float* B = reinterpret_cast<const float*>(b) + batch * strideB;
    float* C = reinterpret_cast<float*>(c) + batch * strideC;
    for (int j = 0; j < n; j++)
      for (int i = 0; i < m; i++) {
        float sum = 0;
        for (int l = 0; l < k; l++)
          sum += rounded(A[opA ? l + static_cast<long long>(i) * lda : i + static_cast<long long>(l) * lda]) *
                 rounded(B[opB ? j + static_cast<long long>(l) * ldb : l + static_cast<long long>(j) * ldb]);
        float& out = C[i + static_cast<long long>(j) * ldc];
        out = *alpha * sum + (*beta == 0 ? 0 : *beta * out);
      }
  }
  return 0;
}
