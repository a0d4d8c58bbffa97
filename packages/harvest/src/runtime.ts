/** The part of onnxruntime this package uses: onnxruntime-node and onnxruntime-web both fit, and are injected. */
import type * as ort from 'onnxruntime-node';

export interface OnnxRuntime {
  InferenceSession: Pick<typeof ort.InferenceSession, 'create'>;
  Tensor: typeof ort.Tensor;
}

export type OnnxTensor = ort.Tensor;
export type SessionOptions = ort.InferenceSession.SessionOptions;
export type Session = ort.InferenceSession;

/** Name, element type and shape of a tensor; a string is a dimension that varies. */
export interface TensorInfo {
  name: string;
  dtype: string;
  shape: readonly (number | string)[];
}

/** A session, and what it takes and gives. */
export interface OpenSession {
  session: Session;
  inputs: TensorInfo[];
  outputs: TensorInfo[];
}

export function tensorInfos(metadata: Session['inputMetadata']): TensorInfo[] {
  return metadata.map((info) => ({
    name: info.name,
    dtype: info.isTensor ? info.type : 'no tensor',
    shape: info.isTensor ? info.shape.map((size) => (size === '' ? '?' : size)) : [],
  }));
}
