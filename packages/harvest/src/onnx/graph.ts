/**
 * An ONNX model as a graph that can be asked questions: who makes a tensor, who reads it, what depends on text.
 * The file is decoded once with onnx-proto; weights stay where they are (views of the file's bytes, or external).
 */
import { msaeError } from '@msae/schema';
import onnxProto, { type onnx } from 'onnx-proto';
import { inputsOf, type Node } from './nodes.ts';
import { normalised } from './normalise/normalise.ts';

export interface Graph {
  /** What error messages call the model. */
  readonly name: string;
  readonly proto: onnx.IModelProto;
  /** The normalised graph's, in an order of execution. */
  readonly nodes: readonly Node[];
  /** Tensor → index of the node that makes it. */
  readonly producer: ReadonlyMap<string, number>;
  /** Tensor → indices of the nodes that read it, those that read it from within a subgraph included. */
  readonly consumers: ReadonlyMap<string, readonly number[]>;
  readonly initializers: ReadonlySet<string>;
  /** Inputs that must be fed: graph inputs that are not initializers. */
  readonly inputs: readonly onnx.IValueInfoProto[];
  readonly outputs: readonly string[];
  /** Tensors whose values depend on what is fed, not merely on its shape. */
  readonly data: ReadonlySet<string>;
  /** Files that hold weights outside the model's own file. */
  readonly externalFiles: readonly string[];
}

/** Protobuf files end at 2 GiB; beyond it weights are external. */
const maxBytes = 2 ** 31 - 1;

/**
 * Decodes an ONNX file and brings its graph into the form that taps are looked for in (see `normalise/`).
 *
 * @throws one clear error when the bytes are no ONNX model, or hold no graph
 */
export function parseGraph(bytes: Uint8Array, name: string): Graph {
  if (bytes.byteLength > maxBytes) {
    throw msaeError(
      'file',
      `${name}: ${bytes.byteLength} bytes, but an ONNX file ends at 2 GiB; save it with external data`,
    );
  }
  const proto = decode(bytes, name);
  const { graph } = proto;
  if (!graph?.node?.length || !graph.output?.length) {
    throw msaeError('file', `${name}: not an ONNX model, or one without a graph; expected nodes and outputs`);
  }
  return indexGraph(inForm(proto, name), name);
}

function inForm(proto: onnx.IModelProto, name: string): onnx.IModelProto {
  try {
    return normalised(proto);
  } catch (cause) {
    throw msaeError('file', `${name}: ${(cause as Error).message}`, { cause });
  }
}

function decode(bytes: Uint8Array, name: string): onnx.IModelProto {
  try {
    return onnxProto.onnx.ModelProto.decode(bytes);
  } catch (cause) {
    throw msaeError(
      'file',
      `${name}: not an ONNX model: ${(cause as Error).message}; the file is truncated or of another kind`,
      { cause },
    );
  }
}

/** The serialized model. */
export function encodeModel(proto: onnx.IModelProto): Uint8Array {
  return onnxProto.onnx.ModelProto.encode(proto).finish();
}

/** Indexes a model that is decoded and in an order of execution. */
export function indexGraph(proto: onnx.IModelProto, name: string): Graph {
  const graph = proto.graph!;
  const nodes = (graph.node ?? []) as Node[];
  const initializers = new Set((graph.initializer ?? []).map((tensor) => tensor.name ?? ''));
  for (const sparse of graph.sparseInitializer ?? []) initializers.add(sparse.values?.name ?? '');
  const producer = new Map<string, number>();
  const consumers = new Map<string, number[]>();
  nodes.forEach((node, index) => {
    for (const output of node.output) if (output) producer.set(output, index);
    for (const input of inputsOf(node)) {
      const list = consumers.get(input);
      if (list) list.push(index);
      else consumers.set(input, [index]);
    }
  });
  const inputs = (graph.input ?? []).filter((input) => !initializers.has(input.name ?? ''));
  return {
    name,
    proto,
    nodes,
    producer,
    consumers,
    initializers,
    inputs,
    outputs: (graph.output ?? []).map((output) => output.name ?? ''),
    data: dataTensors(nodes, inputs),
    externalFiles: externalFiles(graph),
  };
}

/** Shapes are known before values are: what comes through them does not count as data. */
const shapeOps = new Set(['Shape', 'Size', 'ConstantOfShape']);

function dataTensors(nodes: readonly Node[], inputs: readonly onnx.IValueInfoProto[]): Set<string> {
  const data = new Set(inputs.map((input) => input.name ?? ''));
  for (const node of nodes) {
    if (shapeOps.has(node.opType) || !inputsOf(node).some((name) => data.has(name))) continue;
    for (const output of node.output) if (output) data.add(output);
  }
  return data;
}

/** `TensorProto.DataLocation.EXTERNAL`. */
const external = 1;

function externalFiles(graph: onnx.IGraphProto): string[] {
  const files = new Set<string>();
  const visit = (tensor: onnx.ITensorProto | null | undefined) => {
    if (tensor?.dataLocation !== external) return;
    const location = tensor.externalData?.find((entry) => entry.key === 'location')?.value;
    if (location) files.add(location);
  };
  for (const tensor of graph.initializer ?? []) visit(tensor);
  for (const node of graph.node ?? []) for (const attribute of node.attribute ?? []) visit(attribute.t);
  return [...files];
}
