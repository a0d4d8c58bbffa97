/** Writes an ONNX graph node by node. Weights are declared, and read only when a session needs them. */
import type { onnx } from 'onnx-proto';

/** ONNX's numbers for element types. */
export const elementTypes = { float32: 1, uint8: 2, int64: 7, bool: 9 } as const;
export type ElementType = keyof typeof elementTypes;

export type Dimension = number | string;

export interface Attributes {
  readonly [name: string]: number | string | readonly number[] | { readonly float: number };
}

/** Initializers that are read together (the parts of one quantised matrix). */
export interface WeightGroup {
  readonly names: readonly string[];
  /** Bytes by name. */
  load(): Promise<ReadonlyMap<string, Uint8Array>>;
}

export interface DeclaredWeight {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
}

/** Operators of onnxruntime beside those of ONNX. */
export const contrib = 'com.microsoft';
const contribOps = new Set(['FusedMatMul', 'MatMulNBits', 'RotaryEmbedding']);

export interface GraphBuilder {
  /** Adds a node; the name of its output. */
  op(type: string, inputs: readonly string[], attributes?: Attributes, output?: string): string;
  /** A small constant. */
  floats(values: readonly number[] | Float32Array, shape?: readonly number[]): string;
  integers(values: readonly number[], shape?: readonly number[]): string;
  /** Declares initializers that `load` reads; the first declaration of a name holds. */
  weights(declared: readonly DeclaredWeight[], load: () => Promise<readonly Uint8Array[]>): void;
  input(name: string, type: ElementType, shape: readonly Dimension[]): string;
  output(name: string, shape: readonly Dimension[]): void;
  /** Says what shape a float32 tensor has, for those that are tapped. */
  describe(name: string, shape: readonly Dimension[]): void;
  /** A value that is made once for each key. */
  once(key: string, make: () => string): string;
  finish(): { readonly proto: onnx.IModelProto; readonly groups: readonly WeightGroup[] };
}

export function graphBuilder(): GraphBuilder {
  const nodes: onnx.INodeProto[] = [];
  const initializers: onnx.ITensorProto[] = [];
  const inputs: onnx.IValueInfoProto[] = [];
  const outputs: onnx.IValueInfoProto[] = [];
  const described: onnx.IValueInfoProto[] = [];
  const groups: WeightGroup[] = [];
  const declaredNames = new Set<string>();
  const made = new Map<string, string>();
  let count = 0;

  const constant = (
    type: ElementType,
    data: Float32Array | BigInt64Array,
    shape: readonly number[],
    key: string,
  ): string => {
    const known = made.get(key);
    if (known !== undefined) return known;
    const name = `constant.${made.size}`;
    initializers.push({
      name,
      dataType: elementTypes[type],
      dims: [...shape],
      rawData: new Uint8Array(data.buffer),
    });
    made.set(key, name);
    return name;
  };

  return {
    op(type, operands, attributes = {}, output = `t${count++}`) {
      nodes.push({
        opType: type,
        name: output,
        ...(contribOps.has(type) && { domain: contrib }),
        input: [...operands],
        output: [output],
        attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
      });
      return output;
    },
    floats(values, shape = [values.length]) {
      return constant('float32', Float32Array.from(values), shape, `float ${shape} ${values}`);
    },
    integers(values, shape = [values.length]) {
      const data = BigInt64Array.from(values, BigInt);
      return constant('int64', data, shape, `integer ${shape} ${values}`);
    },
    weights(declared, load) {
      if (declaredNames.has(declared[0]!.name)) return;
      for (const { name, type, shape } of declared) {
        declaredNames.add(name);
        initializers.push({
          name,
          dataType: elementTypes[type],
          dims: [...shape],
          dataLocation: 1, // external: handed to onnxruntime beside the graph
          externalData: [{ key: 'location', value: name }],
        });
      }
      const names = declared.map(({ name }) => name);
      groups.push({
        names,
        load: async () => new Map((await load()).map((bytes, i) => [names[i]!, bytes])),
      });
    },
    input(name, type, shape) {
      inputs.push(valueInfo(name, type, shape));
      return name;
    },
    output(name, shape) {
      outputs.push(valueInfo(name, 'float32', shape));
    },
    describe(name, shape) {
      described.push(valueInfo(name, 'float32', shape));
    },
    once(key, make) {
      const known = made.get(key);
      if (known !== undefined) return known;
      const name = make();
      made.set(key, name);
      return name;
    },
    finish: () => ({
      proto: {
        irVersion: 10,
        producerName: 'msae',
        opsetImport: [
          { domain: '', version: 21 },
          { domain: contrib, version: 1 },
        ],
        graph: {
          name: 'transformer',
          node: nodes,
          initializer: initializers,
          input: inputs,
          output: outputs,
          valueInfo: described,
        },
      },
      groups,
    }),
  };
}

export function valueInfo(
  name: string,
  type: ElementType,
  shape: readonly Dimension[],
): onnx.IValueInfoProto {
  const dim = shape.map((n) => (typeof n === 'number' ? { dimValue: n } : { dimParam: n }));
  return { name, type: { tensorType: { elemType: elementTypes[type], shape: { dim } } } };
}

/** AttributeProto's types: 1 float, 2 integer, 3 text, 7 integers. */
function attribute(name: string, value: Attributes[string]): onnx.IAttributeProto {
  if (typeof value === 'number') return { name, type: 2, i: value };
  if (typeof value === 'string') return { name, type: 3, s: new TextEncoder().encode(value) };
  if ('float' in value) return { name, type: 1, f: value.float };
  return { name, type: 7, ints: [...value] };
}
