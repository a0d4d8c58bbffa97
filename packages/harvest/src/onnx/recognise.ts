/** The transformers of a graph under names that hold for every model, proven, or the reason why there is none. */
import type { TensorInfo } from '../runtime.ts';
import { disagreements, widthDisagreement } from './agreement.ts';
import type { Graph } from './graph.ts';
import { type ProbeContext, type ProbeResult, probe } from './proof/probe.ts';
import { towerNames } from './towerNames.ts';
import { findTowers, type TapRole, type Tower } from './towers.ts';

/** A part of a transformer, by the name of its tap. */
export interface NamedPart {
  /** `blocks.2.resid_post`; in a model with several towers `encoder.blocks.2.resid_post`. */
  readonly name: string;
  readonly tensor: string;
  readonly role: TapRole;
  readonly layer: number;
  /** Empty where the model has one tower. */
  readonly tower: string;
}

export interface Recognition {
  readonly parts: readonly NamedPart[];
  /** Why `parts` is empty. */
  readonly refusal?: string;
  /** Types and shapes of the parts, where a probe saw them. */
  readonly infos?: readonly TensorInfo[];
  /** Whether a position reads those before it only; absent when nobody looked. */
  readonly causal?: boolean;
}

/** Where outcomes of probes are kept, so that a model is asked once. */
export interface ProofCache {
  get(key: string): Promise<string | undefined>;
  set(key: string, value: string): Promise<void>;
}

export interface RecogniseOptions extends Omit<ProbeContext, 'graph'> {
  /** False: what the structure says is believed. */
  readonly probe: boolean;
  readonly cache?: ProofCache | undefined;
  readonly fingerprint: string;
}

export async function recognise(graph: Graph, options: RecogniseOptions): Promise<Recognition> {
  const found = findTowers(graph);
  const { towers } = found;
  if (towers.length === 0) {
    const seen =
      found.attentions.size === 0
        ? 'no attention'
        : `${found.attentions.size} attentions in no residual step`;
    return { parts: [], refusal: refusalOf(graph, [seen]) };
  }
  const said = disagreements(graph, found, options.config);
  if (said.length > 0) return { parts: [], refusal: refusalOf(graph, said) };
  const parts = named(graph, towers);
  if (!options.probe) return { parts };
  const { objection, infos, causal } = await probeOnce(graph, towers, options);
  const width = infos.find((info) => info.name === parts[0]!.tensor)?.shape.at(-1);
  const wrong =
    objection ?? (typeof width === 'number' ? widthDisagreement(width, options.config) : undefined);
  if (wrong !== undefined) return { parts: [], refusal: refusalOf(graph, [wrong]) };
  return { parts, infos, ...(causal !== undefined && { causal }) };
}

function named(graph: Graph, towers: readonly Tower[]): NamedPart[] {
  const names = towerNames(graph, towers);
  return towers.flatMap(({ parts }) =>
    parts
      .filter(({ tensor }) => graph.producer.has(tensor)) // a stream that is fed is no tap
      .map(({ role, layer, tensor, tower: index }) => {
        const tower = names[index]!;
        return { name: `${tower && `${tower}.`}blocks.${layer}.${role}`, tensor, role, layer, tower };
      }),
  );
}

/** Raised when a probe asks more, or recognition finds other parts: outcomes kept before count no longer. */
const version = 1;

async function probeOnce(
  graph: Graph,
  towers: readonly Tower[],
  options: RecogniseOptions,
): Promise<ProbeResult> {
  const { cache, fingerprint } = options;
  const tensors = towers.flatMap(({ parts }) => parts.map(({ tensor }) => tensor));
  const key = await digest(JSON.stringify([version, fingerprint, tensors]));
  const kept = await cache?.get(key);
  if (kept !== undefined) return JSON.parse(kept) as ProbeResult;
  let result: ProbeResult;
  try {
    result = await probe({ graph, ...options }, towers);
  } catch (error) {
    // not kept: another session may have the memory, or another runtime the operation
    return { objection: `it could not be tried on a few tokens: ${(error as Error).message}`, infos: [] };
  }
  await cache?.set(key, JSON.stringify(result));
  return result;
}

function refusalOf(graph: Graph, seen: readonly string[]): string {
  const examples = graph.nodes
    .filter(({ opType, output }) => opType === 'Add' && graph.data.has(output[0]!))
    .map(({ output }) => output[0]!);
  const some = examples.length > 0 ? `, such as ${[examples[0], examples.at(-1)].join(' or ')}` : '';
  return (
    `${graph.name}: its layers were not recognised for certain, so none is named: ${seen.join('; ')}. ` +
    `Any tensor can be tapped by its own name${some}`
  );
}

async function digest(text: string): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
