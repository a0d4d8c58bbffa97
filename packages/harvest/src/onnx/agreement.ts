/**
 * Whether what was recognised agrees with itself, with the names in the file, and with its config.json. Each disagreement is a sentence
 * that says what was seen.
 */
import type { Graph } from './graph.ts';
import type { Tower, Towers } from './towers.ts';
import { waysBetween } from './ways.ts';

/** A config.json of Hugging Face, or any object with its fields somewhere in it. */
export type ModelConfig = Readonly<Record<string, unknown>>;

export function disagreements(graph: Graph, found: Towers, config: ModelConfig | undefined): string[] {
  const { towers, attentions } = found;
  const within = new Set(towers.flatMap(({ attends }) => attends));
  const said: string[] = [];
  if (within.size !== attentions.size) {
    const stray = [...attentions].find((index) => !within.has(index))!;
    said.push(
      `${attentions.size} attentions, of which ${within.size} lie in residual steps (not so: ${graph.nodes[stray]!.output[0]})`,
    );
  }
  for (const tower of towers) said.push(...ofTower(graph, tower));
  const counts = config && numbersOf(config, layerFields);
  for (const { layers } of towers) {
    if (counts && counts.size > 0 && !counts.has(layers)) {
      said.push(`${layers} layers, where config.json says ${[...counts].join(' or ')}`);
    }
  }
  return said;
}

const layerFields =
  /^(num_hidden_layers|n_layers?|num_layers|(num_)?(en|de)coder_(hidden_)?layers|num_decoder_layers|depth)$/;
const widthFields = /^(hidden_size|n_embd|d_model|dim|hidden_dim|embed_dim|width)$/;

/** Objection to the width of the streams, when config.json knows none like it. */
export function widthDisagreement(width: number, config: ModelConfig | undefined): string | undefined {
  const widths = config && numbersOf(config, widthFields);
  if (!widths || widths.size === 0 || widths.has(width)) return undefined;
  return `streams ${width} wide, where config.json says ${[...widths].join(' or ')}`;
}

/** Values of the fields that match, wherever they are in the object. */
function numbersOf(config: ModelConfig, fields: RegExp): Set<number> {
  const found = new Set<number>();
  for (const [name, value] of Object.entries(config)) {
    if (typeof value === 'number' && fields.test(name)) found.add(value);
    else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      for (const one of numbersOf(value as ModelConfig, fields)) found.add(one);
    }
  }
  return found;
}

function ofTower(graph: Graph, { parts, layers, stretches }: Tower): string[] {
  const said: string[] = [];
  const roles = Array.from({ length: layers }, () => [] as string[]);
  for (const { layer, role } of parts) roles[layer]!.push(role);
  const first = roles[0]!.join(', ');
  const odd = roles.findIndex((list) => list.join(', ') !== first);
  if (odd > 0) said.push(`layer 0 has ${first}, but layer ${odd} has ${roles[odd]!.join(', ')}`);
  const twice = roles[0]!.find((role, i) => roles[0]!.indexOf(role) !== i);
  if (twice !== undefined) said.push(`two ${twice} in one layer`);
  if (!roles[0]!.includes('resid_post')) said.push('no MLP in layer 0');
  const crowded = stretches.flatMap(({ branches }) => branches).find((branch) => branch.attends.length > 1);
  if (crowded)
    said.push(
      `${crowded.attends.length} attentions before ${crowded.tensor}, with no residual step between them`,
    );
  const named = numbersInNames(graph, stretches, parts);
  const numbers = [...named.values()];
  const shifts = new Set([...named].map(([layer, number]) => number - layer));
  // weights that all layers share carry one number
  if (new Set(numbers).size > 1 && (shifts.size > 1 || numbers.length < layers)) {
    said.push(`layers 0 to ${layers - 1} hold what the file numbers ${numbers.join(', ')}`);
  }
  return said;
}

/** Layer → the layer number that most names in its branches carry. */
function numbersInNames(
  graph: Graph,
  stretches: Tower['stretches'],
  parts: Tower['parts'],
): Map<number, number> {
  const layerOf = new Map(
    parts.map(({ tensor, layer, role }) => [role.endsWith('_out') ? tensor : '', layer]),
  );
  const votes = new Map<number, Map<number, number>>();
  for (const { stream, branches } of stretches) {
    for (const { tensor } of branches) {
      const layer = layerOf.get(tensor)!;
      const counts = votes.get(layer) ?? new Map<number, number>();
      votes.set(layer, counts);
      for (const index of waysBetween(graph, stream, tensor)) {
        const node = graph.nodes[index]!;
        for (const name of [node.name ?? '', ...node.input.filter((input) => !graph.data.has(input))]) {
          const number = layerNumber(name);
          if (number !== undefined) counts.set(number, (counts.get(number) ?? 0) + 1);
        }
      }
    }
  }
  const found = new Map<number, number>();
  for (const [layer, counts] of votes) {
    const [most] = [...counts].sort((a, b) => b[1] - a[1]);
    if (most) found.set(layer, most[0]);
  }
  return found;
}

/** The 3 of `model.layers.3.mlp.weight`, `/transformer/h.3/attn/MatMul`. */
function layerNumber(name: string): number | undefined {
  const match = /(?:^|[./])(?:layers?|h|blocks?|resblocks)[./_](\d+)(?=[./_]|$)/.exec(name);
  return match ? Number(match[1]) : undefined;
}
