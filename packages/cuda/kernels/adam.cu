// MsaeAdam: one Adam(W) step in place, 28 bytes a parameter. c1, c2: the bias corrections 1/(1 − β^step);
// rest1, rest2: 1 − β, which float32 would get wrong in the fifth digit.

__device__ __forceinline__ void adamOne(float& p, float& m, float& v, float g, float rate, float beta1, float beta2,
                                        float rest1, float rest2, float epsilon, float decay, float c1, float c2) {
  m = beta1 * m + rest1 * g;
  v = beta2 * v + rest2 * g * g;
  p -= rate * ((m * c1) / (sqrtf(v * c2) + epsilon) + decay * p);
}

extern "C" __global__ void __launch_bounds__(256)
    adam(float* param, float* m, float* v, const float* grad, const float* scale, float rate, float beta1, float beta2,
         float rest1, float rest2, float epsilon, float decay, float c1, float c2, int size) {
  const float by = scale[0];
  const int fours = size >> 2;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < fours; i += gridDim.x * blockDim.x) {
    float4 p = reinterpret_cast<float4*>(param)[i], a = reinterpret_cast<float4*>(m)[i];
    float4 b = reinterpret_cast<float4*>(v)[i], g = reinterpret_cast<const float4*>(grad)[i];
    adamOne(p.x, a.x, b.x, g.x * by, rate, beta1, beta2, rest1, rest2, epsilon, decay, c1, c2);
    adamOne(p.y, a.y, b.y, g.y * by, rate, beta1, beta2, rest1, rest2, epsilon, decay, c1, c2);
    adamOne(p.z, a.z, b.z, g.z * by, rate, beta1, beta2, rest1, rest2, epsilon, decay, c1, c2);
    adamOne(p.w, a.w, b.w, g.w * by, rate, beta1, beta2, rest1, rest2, epsilon, decay, c1, c2);
    reinterpret_cast<float4*>(param)[i] = p;
    reinterpret_cast<float4*>(m)[i] = a;
    reinterpret_cast<float4*>(v)[i] = b;
  }
  const int i = fours * 4 + blockIdx.x * blockDim.x + threadIdx.x;
  if (i < size) adamOne(param[i], m[i], v[i], grad[i] * by, rate, beta1, beta2, rest1, rest2, epsilon, decay, c1, c2);
}
