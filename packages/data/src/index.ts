/**
 * Activations for sparse autoencoders: where they come from, how they are stored, shuffled and streamed.
 *
 * @packageDocumentation
 */
export { type ArrayRowsOptions, arrayRows } from './arrayRows.ts';
export {
  type ByteInput,
  fromBlob,
  fromBytes,
  fromOpfs,
  type RandomAccess,
  type ReadOptions,
  toRandomAccess,
} from './byteSource.ts';
export {
  bytesToFloat32,
  type Dtype,
  dtypeBytes,
  float32ToBytes,
  type TypedArray,
  typedView,
} from './dtype.ts';
export { encodeNpy, type NpyArray, type NpyOptions, npyRows, readNpy } from './formats/npy.ts';
export { type NpyHeader, readNpyHeader } from './formats/npyHeader.ts';
export { encodeNpz, type Npz, readNpz } from './formats/npz.ts';
export { type ParquetOptions, parquetRows } from './formats/parquet.ts';
export { tensorRows } from './formats/tensorRows.ts';
export { crc32, openZipEntry, readZipDirectory, type ZipEntry } from './formats/zip.ts';
export {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
} from './halfFloat.ts';
export { fromUrl, type HttpOptions } from './httpSource.ts';
export {
  type ActivationRows,
  allocateTarget,
  type RowTarget,
  readRows,
  type TokenColumn,
} from './rows.ts';
export { type ReadSafetensorsOptions, readSafetensors, type Safetensors } from './safetensors.ts';
export { readSafetensorsHeader, type SafetensorsHeader, type TensorInfo } from './safetensorsHeader.ts';
export {
  type ByteSink,
  encodeSafetensors,
  type TensorToWrite,
  type WriteSafetensorsOptions,
  writeSafetensors,
} from './safetensorsWrite.ts';
export {
  type ActivationBatch,
  type ActivationSource,
  type BatchesOptions,
  checkFinite,
  type SourcePosition,
} from './source.ts';
export {
  httpDirectory,
  memoryDirectory,
  opfsDirectory,
  type StoreDirectory,
  type WritableDirectory,
} from './store/directory.ts';
export { type ActivationStore, type OpenStoreOptions, openStore } from './store/openStore.ts';
export type { JsonValue, ShardEntry, StoreIndex } from './store/storeIndex.ts';
export {
  type Committed,
  openStoreWriter,
  type StoreWriter,
  type StoreWriterOptions,
} from './store/storeWriter.ts';
export { type Mixing, type StreamedRows, type StreamRowsOptions, streamRows } from './streamRows.ts';
export { defaultTree } from './synthetic/defaultTree.ts';
export { type FeatureTree, type FlatNode, parseTree, type TreeNode } from './synthetic/featureTree.ts';
export { type SynthBench, type SynthBenchOptions, synthBench } from './synthetic/synthBench.ts';
export {
  type LabelledSamples,
  type LabelledSource,
  type ToyTree,
  type ToyTreeOptions,
  toyTree,
} from './synthetic/toyTree.ts';
