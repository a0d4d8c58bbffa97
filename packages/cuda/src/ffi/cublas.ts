/** cuBLAS: float32 matrix products, on the tensor cores (TF32) where that is asked for. */
import { deviceError } from '../errors.ts';
import { openLibrary } from './libraries.ts';

/** C [batches, m, n] = op(A) op(B), all row-major; strides in elements between the batches. */
export interface Product {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly batches: number;
  readonly strideA: number;
  readonly strideB: number;
  readonly tf32: boolean;
}

export interface Cublas {
  readonly version: number;
  multiply(product: Product): void;
}

const COMPUTE_32F = 68;
const COMPUTE_32F_FAST_TF32 = 77;
const DEFAULT_ALGORITHM = -1;
const FLOAT = 0; // CUDA_R_32F

/** @param workspace device memory that cuBLAS may use: with its own it could choose differently from call to call */
export function openCublas(stream: number, workspace: { pointer: number; bytes: number }): Cublas {
  const lib = openLibrary('cublas');
  const u64 = 'uint64_t';
  const check = (code: number, call: string): void => {
    if (code !== 0) throw deviceError(`${call} failed with cuBLAS status ${code}`, { cuda: code });
  };
  const handle = new BigUint64Array(1);
  check(lib.func('cublasCreate_v2', 'int', ['void *'])(handle), 'cublasCreate');
  const h = Number(handle[0]);
  check(lib.func('cublasSetStream_v2', 'int', [u64, u64])(h, stream), 'cublasSetStream');
  const setWorkspace = lib.func('cublasSetWorkspace_v2', 'int', [u64, u64, 'size_t']);
  check(setWorkspace(h, workspace.pointer, workspace.bytes), 'cublasSetWorkspace');
  const version = new Int32Array(1);
  lib.func('cublasGetVersion_v2', 'int', [u64, 'void *'])(h, version);
  const gemm = lib.func('cublasGemmStridedBatchedEx', 'int', [
    ...[u64, 'int', 'int', 'int', 'int', 'int', 'void *'],
    ...[u64, 'int', 'int', 'int64_t', u64, 'int', 'int', 'int64_t', 'void *'],
    ...[u64, 'int', 'int', 'int64_t', 'int', 'int', 'int'],
  ]);
  const one = Float32Array.of(1);
  const zero = Float32Array.of(0);
  return {
    version: version[0]!,
    multiply: ({ a, b, c, m, n, k, transposeA, transposeB, batches, strideA, strideB, tf32 }) => {
      // row-major C = A B is column-major Cᵀ = Bᵀ Aᵀ
      const code = gemm(
        ...[h, transposeB ? 1 : 0, transposeA ? 1 : 0, n, m, k, one],
        ...[b, FLOAT, transposeB ? k : n, strideB, a, FLOAT, transposeA ? m : k, strideA, zero],
        ...[c, FLOAT, n, m * n, batches, tf32 ? COMPUTE_32F_FAST_TF32 : COMPUTE_32F, DEFAULT_ALGORITHM],
      );
      check(code, `cublasGemm [${m}, ${k}] × [${k}, ${n}]`);
    },
  };
}
