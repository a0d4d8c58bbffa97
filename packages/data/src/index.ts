/**
 * Activations for sparse autoencoders: where they come from, how they are stored, shuffled and streamed.
 *
 * @packageDocumentation
 */
export { arrayRows } from './arrayRows.ts';
export {
  type ByteInput,
  fromBlob,
  fromBytes,
  fromOpfs,
  type RandomAccess,
  toRandomAccess,
} from './byteSource.ts';
export { bytesToFloat32, type Dtype, dtypeBytes, float32ToBytes, typedView } from './dtype.ts';
export { encodeNpy, npyRows, readNpy } from './formats/npy.ts';
export { type NpyHeader, readNpyHeader } from './formats/npyHeader.ts';
export { readNpz } from './formats/npz.ts';
export { parquetRows } from './formats/parquet.ts';
export { tensorRows } from './formats/tensorRows.ts';
export { crc32, openZipEntry, readZipDirectory } from './formats/zip.ts';
export { float16ToFloat32 } from './halfFloat.ts';
export { fromUrl, type HttpOptions } from './httpSource.ts';
export {
  type HubLocation,
  type HubRepository,
  hubLocationSchema,
  hubRepository,
  parseHubAddress,
} from './hub.ts';
export { type ActivationRows, type RowTarget, readRows } from './rows.ts';
export { readSafetensors, type Safetensors } from './safetensors.ts';
export {
  type ByteSink,
  encodeSafetensors,
  type TensorToWrite,
  type WriteSafetensorsOptions,
  writeSafetensors,
} from './safetensorsWrite.ts';
export { type ActivationBatch, type ActivationSource, checkFinite, type SourcePosition } from './source.ts';
export { httpDirectory, memoryDirectory, opfsDirectory, type WritableDirectory } from './store/directory.ts';
export { type ActivationStore, openStore } from './store/openStore.ts';
export type { JsonValue } from './store/storeIndex.ts';
export { openStoreWriter, type StoreWriter, storeWriterSchema } from './store/storeWriter.ts';
export { streamRows, streamRowsSchema } from './streamRows.ts';
export type { TreeNode } from './synthetic/featureTree.ts';
export { synthBench } from './synthetic/synthBench.ts';
export { type LabelledSource, type ToyTree, toyTree } from './synthetic/toyTree.ts';
