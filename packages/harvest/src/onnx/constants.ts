/** Values that a graph computes from its weights alone, whatever form these have: float16, transposed, quantised, in another file. */
import { float16ToFloat32 } from '@msae/data';
import type { OpenSession } from '../runtime.ts';
import { assemble } from './edit.ts';
import type { Graph } from './graph.ts';
import { makeNode } from './nodes.ts';

export interface Constant {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

/** Undefined for what depends on what is fed, and for what is not floating. */
export async function constantOf(
  graph: Graph,
  tensor: string,
  open: (model: ReturnType<typeof assemble>) => Promise<OpenSession>,
): Promise<Constant | undefined> {
  if (tensor === '' || graph.data.has(tensor)) return undefined;
  const copy = `${tensor}::constant`;
  const { session, inputs } = await open(
    assemble(graph, [...graph.nodes, makeNode('Identity', [tensor], [copy])], graph.inputs, [copy]),
  );
  try {
    if (inputs.length > 0) return undefined; // its shape depends on what is fed
    const { data, dims } = (await session.run({}))[copy]!;
    if (data instanceof Float32Array) return { dims, data: data.slice() };
    if (!(data instanceof Uint16Array) && !isHalf(data)) return undefined;
    const { buffer, byteOffset, byteLength } = data as Uint16Array;
    return { dims, data: float16ToFloat32(new Uint16Array(buffer, byteOffset, byteLength / 2)) };
  } finally {
    await session.release();
  }
}

/** Newer engines give float16 as Float16Array. */
const isHalf = (data: unknown): boolean => Object.prototype.toString.call(data) === '[object Float16Array]';
