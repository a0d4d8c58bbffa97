// Every kernel has the signature (args: usize, task: i32, thread: i32): `args` points to its block of 32-bit arguments.
// No statics, no allocator, no stack: the module works on memory that belongs to tfjs.
export { gemm, packB, transpose } from './gemm';
export { encodeGroup, finishLists, packX, transposeLists } from './encode';
export { batchCut } from './select';
export { decodeRows, decodeSlice, zero } from './decode';
export { finishValues, latentNorms, penaltyRows } from './finish';
export { adam, latentGrads, sumOfSquares } from './latent';
export { encodeQuantised, packQuantised, pruneLists, quantiseX, refine } from './quantised';
