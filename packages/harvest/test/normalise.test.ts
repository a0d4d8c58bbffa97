import { readFile } from 'node:fs/promises';
import type { onnx } from 'onnx-proto';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { harvest, openModel, type TransformerModel } from '../src/index.ts';
import { encodeModel, parseGraph } from '../src/onnx/graph.ts';
import { makeNode, type Node, withInputs, withTensors } from '../src/onnx/nodes.ts';
import { collect, distance, documents, path } from './helpers.ts';

const plain = async (): Promise<onnx.IModelProto> =>
  parseGraph(await readFile(path('fixtures/pre-gelu-dynamo.onnx')), 'fixture').proto;

const opened = (proto: onnx.IModelProto): Promise<TransformerModel> =>
  openModel(encodeModel(proto), { runtime: ort, name: 'rewritten' });

async function values(model: TransformerModel): Promise<Map<string, Float32Array>> {
  const taps = model.parts.map(({ name }) => name);
  const [batch] = await collect(harvest(model, documents([1, 2, 3, 4], [5, 6]), { taps }));
  return new Map(batch!.activations.map(({ tap, data }) => [tap, data]));
}

/** Expects the taps of the plain graph, with the same values. */
async function expectSame(proto: onnx.IModelProto): Promise<TransformerModel> {
  const [model, wanted] = [await opened(proto), await values(await opened(await plain()))];
  expect(model.refusal).toBeUndefined();
  const found = await values(model);
  expect([...found.keys()]).toEqual([...wanted.keys()]);
  expect(found.size).toBe(10);
  for (const [tap, data] of wanted) expect(distance(found.get(tap)!, data), tap).toBeLessThan(1e-6);
  return model;
}

describe('a graph that was rewritten has the taps it had', () => {
  it('when its nodes are in no order', async () => {
    const proto = await plain();
    await expectSame({ ...proto, graph: { ...proto.graph!, node: [...proto.graph!.node!].reverse() } });
  });

  it('when it is a branch of an If on use_cache_branch: the one without a cache', async () => {
    const proto = await plain();
    const graph = proto.graph!;
    const branch = (prefix: string, scale: number): onnx.IGraphProto => {
      const made = new Set((graph.node as Node[]).flatMap((node) => node.output));
      const rename = (name: string) => (made.has(name) ? prefix + name : name);
      const node = (graph.node as Node[]).map((one) => withTensors(one, rename));
      const value = { dataType: 1, floatData: [scale] };
      node.push(
        makeNode('Constant', [], [`${prefix}scale`], [{ name: 'value', type: 4, t: value }]),
        makeNode('Mul', [`${prefix}logits`, `${prefix}scale`], [`${prefix}out`]),
      );
      return { name: prefix, node, output: [{ ...graph.output![0], name: `${prefix}out` }] };
    };
    const merged = makeNode(
      'If',
      ['use_cache_branch'],
      ['logits'],
      [
        { name: 'then_branch', type: 5, g: branch('past.', 2) },
        { name: 'else_branch', type: 5, g: branch('first.', 1) },
      ],
    );
    const input = [
      ...graph.input!,
      { name: 'use_cache_branch', type: { tensorType: { elemType: 9, shape: { dim: [{ dimValue: 1 }] } } } },
    ];
    const model = await expectSame({ ...proto, graph: { ...graph, node: [merged], input } });
    expect(model.parts.every(({ tensor }) => tensor.startsWith('first.'))).toBe(true);
    expect(model.graph.nodes.some(({ opType }) => opType === 'If')).toBe(false);
  });

  it('when every reader of a tensor has a cast or an identity of its own', async () => {
    const proto = await plain();
    const graph = proto.graph!;
    const made = new Set((graph.node as Node[]).flatMap((node) => node.output));
    const floats = new Set((await opened(proto)).parts.map(({ tensor }) => tensor));
    let count = 0;
    const copies: Node[] = [];
    const node = (graph.node as Node[]).map((one) =>
      withInputs(one, (name) => {
        if (!made.has(name) || !floats.has(name)) return name;
        const copy = `copy${count++}`;
        const cast = count % 2 === 0;
        copies.push(
          makeNode(cast ? 'Cast' : 'Identity', [name], [copy], cast ? [{ name: 'to', type: 2, i: 1 }] : []),
        );
        return copy;
      }),
    );
    expect(count).toBeGreaterThan(12);
    await expectSame({ ...proto, graph: { ...graph, node: [...node, ...copies] } });
  });

  it('and a circle in it is refused', async () => {
    const proto = await plain();
    const node = [makeNode('Relu', ['b'], ['a']), makeNode('Relu', ['a'], ['b']), ...proto.graph!.node!];
    await expect(opened({ ...proto, graph: { ...proto.graph!, node } })).rejects.toThrow(
      'rewritten: the graph is no order of execution',
    );
  });
});
