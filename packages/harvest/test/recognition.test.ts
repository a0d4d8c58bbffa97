import { readFile } from 'node:fs/promises';
import { isMsaeError } from '@msae/schema';
import type { onnx } from 'onnx-proto';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { harvest, openModel, type TransformerModel } from '../src/index.ts';
import type { OpenModelOptions } from '../src/model.ts';
import { encodeModel, parseGraph } from '../src/onnx/graph.ts';
import { makeNode, type Node, withInputs, withTensors } from '../src/onnx/nodes.ts';
import { waysBetween } from '../src/onnx/ways.ts';
import { brownLm, collect, distance, documents, open, path } from './helpers.ts';

const fixture = async (name = 'pre-gelu-dynamo.onnx') =>
  parseGraph(await readFile(path(`fixtures/${name}`)), 'fixture');

const opened = (
  proto: onnx.IModelProto,
  options: Partial<OpenModelOptions> = {},
): Promise<TransformerModel> => openModel(encodeModel(proto), { runtime: ort, name: 'odd', ...options });

const withNodes = (proto: onnx.IModelProto, node: Node[]): onnx.IModelProto => ({
  ...proto,
  graph: { ...proto.graph!, node },
});

/** A model whose last MLP reads the embeddings besides its stream. */
async function bypassed(): Promise<onnx.IModelProto> {
  const { proto, nodes } = await fixture();
  const model = await opened(proto);
  const [embedded, normed] = [model.resolve('blocks.0.resid_pre'), 'normed'];
  const [first] = waysBetween(
    model.graph,
    model.resolve('blocks.1.resid_mid'),
    model.resolve('blocks.1.mlp_out'),
  );
  const node = model.graph.nodes.flatMap((one, index) => {
    if (index === first)
      return [
        withTensors(one, (name) => (name === one.output[0] ? normed : name)),
        makeNode('Add', [normed, embedded], [one.output[0]!]),
      ];
    return [one];
  });
  expect(node).toHaveLength(nodes.length + 1);
  return withNodes(proto, node);
}

describe('what is not certain is refused', () => {
  it('when config.json has another number of layers, or another width', async () => {
    const { proto } = await fixture();
    const agreeing = { num_hidden_layers: 2, text_config: { hidden_size: 8 } };
    expect((await opened(proto, { config: agreeing })).refusal).toBeUndefined();
    const layers = await opened(proto, { config: { n_layer: 12 } });
    expect(layers.refusal).toContain('2 layers, where config.json says 12');
    const width = await opened(proto, { config: { text_config: { hidden_size: 768 } } });
    expect(width.refusal).toContain('streams 8 wide, where config.json says 768');
  });

  it('and its tensors can be tapped by their own names', async () => {
    const { proto } = await fixture();
    const [sure, model] = [await opened(proto), await opened(proto, { config: { n_layer: 12 } })];
    expect(model.parts).toEqual([]);
    expect(await model.tapPoints()).toEqual([]);
    expect(model.refusal).toMatch(
      /none is named: .*Any tensor can be tapped by its own name, such as t\d+ or t\d+/s,
    );
    expect(() => model.resolve('blocks.1.resid_post')).toThrow(
      /there is no tap blocks\.1\.resid_post: .*config\.json says 12/,
    );
    const tensor = sure.resolve('blocks.1.resid_post');
    const of = async (one: TransformerModel) =>
      (await collect(harvest(one, documents([1, 2, 3]), { taps: [tensor] })))[0]!.activations[0]!.data;
    expect(distance(await of(model), await of(sure))).toBe(0);
  });

  it('when the file numbers its layers otherwise', async () => {
    const { proto } = await fixture();
    const model = await opened(proto);
    const numbered = (numbers: readonly number[]) => {
      const names = new Map<number, string>();
      for (const [layer, number] of numbers.entries()) {
        const [from, to] = [`blocks.${layer}.resid_pre`, `blocks.${layer}.resid_post`];
        for (const at of waysBetween(model.graph, model.resolve(from), model.resolve(to)))
          names.set(at, `model.layers.${number}.part`);
      }
      return withNodes(
        proto,
        model.graph.nodes.map((node, at) => ({
          ...node,
          name: names.has(at) ? `${names.get(at)}.${at}` : '',
        })),
      );
    };
    expect((await opened(numbered([0, 1]))).refusal).toBeUndefined();
    expect((await opened(numbered([4, 5]))).refusal).toBeUndefined();
    expect((await opened(numbered([0, 0]))).refusal).toBeUndefined(); // weights that all layers share
    expect((await opened(numbered([1, 0]))).refusal).toContain(
      'layers 0 to 1 hold what the file numbers 1, 0',
    );
    expect((await opened(numbered([0, 3]))).refusal).toContain('what the file numbers 0, 3');
  });

  it('when an attention is in no step', async () => {
    const { proto } = await fixture();
    const model = await opened(proto);
    const sum = model.resolve('blocks.0.resid_mid');
    // x + f(x) as x − (−f(x)): a step that is not seen for one
    const node = model.graph.nodes.flatMap((one) =>
      one.output[0] === sum
        ? [
            makeNode('Neg', [one.input[1]!], ['negative']),
            makeNode('Sub', [one.input[0]!, 'negative'], [sum]),
          ]
        : [one],
    );
    expect((await opened(withNodes(proto, node))).refusal).toMatch(
      /2 attentions, of which 1 lie in residual steps/,
    );
  });

  it('when the model knows its input by another way than the stream', async () => {
    const proto = await bypassed();
    expect((await opened(proto)).refusal).toMatch(/knows the input by another way than/);
    expect((await opened(proto, { probe: false })).parts).toHaveLength(10);
  });

  it('when the model cannot be tried', async () => {
    const { proto } = await fixture();
    const input = proto.graph!.input!.map((one) =>
      one.name === 'input_ids' ? { ...one, name: 'things' } : one,
    );
    const node = (proto.graph!.node as Node[]).map((one) =>
      withInputs(one, (name) => (name === 'input_ids' ? 'things' : name)),
    );
    const model = await opened({ ...proto, graph: { ...proto.graph!, input, node } });
    expect(model.refusal).toMatch(/could not be tried on a few tokens: input things is int64/);
  });
});

describe('what a probe finds', () => {
  it('is kept by fingerprint and asked for once', async () => {
    const kept = new Map<string, string>();
    const proofs = {
      get: async (key: string) => kept.get(key),
      set: async (key: string, value: string) => void kept.set(key, value),
    };
    let sessions = 0;
    const runtime = {
      Tensor: ort.Tensor,
      InferenceSession: {
        create: ((...args: Parameters<typeof ort.InferenceSession.create>) => {
          sessions += 1;
          return ort.InferenceSession.create(...args);
        }) as typeof ort.InferenceSession.create,
      },
    };
    const { proto } = await fixture();
    const first = await opened(proto, { proofs, runtime });
    expect([sessions, kept.size]).toEqual([1, 1]);
    const again = await opened(proto, { proofs, runtime });
    expect(await again.tapPoints()).toEqual(await first.tapPoints());
    expect(again.causal).toBe(true);
    expect(sessions).toBe(1);
    const other = await opened(await bypassed(), { proofs, runtime });
    expect(other.refusal).toBeDefined();
    expect((await opened(await bypassed(), { proofs, runtime })).refusal).toBe(other.refusal);
    expect(kept.size).toBe(2);
  });

  it('includes whether a position reads those after it', async () => {
    expect((await open(brownLm)).model.causal).toBe(true);
    expect((await open(path('fixtures/matrix/bert/optimised/model.onnx'))).model.causal).toBe(false);
  });

  it('takes under a second on small models', async () => {
    const bytes = await readFile(brownLm);
    await openModel(bytes, { runtime: ort }); // warm
    const started = performance.now();
    await openModel(bytes, { runtime: ort, sessionOptions: { intraOpNumThreads: 1 } });
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

describe('a file with two towers', () => {
  it('lists each under a name of its own', async () => {
    const [{ proto: text }, { proto: other }] = [await fixture(), await fixture('post-gelu-dynamo.onnx')];
    const rename = (name: string) => `other.${name}`;
    const graph: onnx.IGraphProto = {
      ...text.graph!,
      node: [...text.graph!.node!, ...(other.graph!.node as Node[]).map((one) => withTensors(one, rename))],
      initializer: [
        ...text.graph!.initializer!,
        ...other.graph!.initializer!.map((tensor) => ({ ...tensor, name: rename(tensor.name!) })),
      ],
      output: [...text.graph!.output!, ...other.graph!.output!.map((o) => ({ ...o, name: rename(o.name!) }))],
    };
    const read = (name: string) => name.replace(/^other\.(input_ids|attention_mask)$/, '$1');
    graph.node = (graph.node as Node[]).map((one) => withInputs(one, read));
    const model = await opened({ ...text, graph });
    expect(model.refusal).toBeUndefined();
    const towers = [...new Set((await model.tapPoints()).map(({ tower }) => tower))];
    expect(towers.sort()).toEqual(['text', 'text2']);
    expect(model.parts).toHaveLength(20);
    const taps = ['text.blocks.1.resid_post', 'text2.blocks.1.resid_post'];
    const [batch] = await collect(harvest(model, documents([1, 2, 3]), { taps }));
    const alone = await Promise.all(
      [text, other].map(async (proto) => {
        const one = await opened(proto);
        return (await collect(harvest(one, documents([1, 2, 3]), { taps: ['blocks.1.resid_post'] })))[0]!;
      }),
    );
    const all = batch!.activations.map(({ data }) => data);
    for (const one of alone) {
      expect(all.some((data) => distance(data, one.activations[0]!.data) < 1e-6)).toBe(true);
    }
  });
});

describe('contexts that a model has no positions for', () => {
  const long = documents(Array.from({ length: 20 }, (_, i) => i));
  const run = async (options: Partial<OpenModelOptions>) => {
    const { proto } = await fixture();
    const model = await opened(proto, options);
    return collect(harvest(model, long, { taps: ['blocks.1.resid_post'], contextLength: 20 }));
  };

  it('are refused with what its config.json says', async () => {
    await expect(run({ config: { n_positions: 16 } })).rejects.toThrow(
      'a context of 20 tokens, but the model has 16 positions; give a contextLength ≤ 16',
    );
  });

  it('else with what onnxruntime says, and the length', async () => {
    const error = await run({}).catch((one: unknown) => one);
    expect(isMsaeError(error, 'unsupported')).toBe(true);
    expect((error as Error).message).toMatch(
      /odd: does not run on 1 contexts of 20 tokens: .*smaller contextLength/s,
    );
  });
});
