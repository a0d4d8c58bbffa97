/**
 * A training checkpoint of @msae/train: `<prefix>state.json` and `<prefix>weights.safetensors`, with Adam's moments and
 * counters beside the parameters. Read for inference: the SAE of that step. Runs that train several SAEs at once give each
 * a prefix.
 */
import type { Checkpoint } from '../checkpoint.ts';
import { scaleStep } from '../checkpoint.ts';
import { type Fields, fieldsOf } from '../configFields.ts';
import { openSafetensors } from '../containers/openTensors.ts';
import { type Folder, requireJson } from '../folder.ts';
import { formatError, show } from '../formatError.ts';
import type { Format } from '../formats/definition.ts';
import { coreWeights, described, readConfig, readState, readSteps } from '../msae/wholeSae.ts';
import { prefixRecord } from '../ownRecord.ts';

const prefixOf = (name: string): string | undefined =>
  /^(.*)(?:state\.json|weights\.safetensors)$/.exec(name)?.[1];

export const trainingCheckpoint: Format = {
  title: 'msae',
  marks: ['state.json'],
  async recognise({ folder, name }) {
    const prefix = prefixOf(name);
    return prefix !== undefined && (await folder.open(`${prefix}state.json`)) !== undefined;
  },
  read: ({ folder, name }) => readTrainingCheckpoint(folder, prefixOf(name)!),
};

async function readTrainingCheckpoint(folder: Folder, prefix: string): Promise<Checkpoint> {
  const name = `${prefix}state.json`;
  const json = fieldsOf(
    `${folder.name}/${name}`,
    await requireJson(folder, name, 'the state beside the weights'),
  );
  json.choice('format', ['msae-training-checkpoint']);
  const version = json.integer('version', { default: 1 });
  if (version > 2) {
    throw formatError({
      file: json.file,
      field: 'version',
      found: `${version}`,
      expected: '1 or 2',
      hint: 'update @msae/formats',
    });
  }
  const config = readConfig(json, 'sae');
  const { width } = config.input;
  const table = await openSafetensors(folder, `${prefix}weights.safetensors`);
  const weights = coreWeights(table, config);
  const options = json.object('options');
  const common = {
    ...described(config),
    file: table.file,
    weights,
    training: { architecture: config.activation.kind, details: options },
  };
  const counters = {
    step: json.integer('step', { min: 0 }),
    tokens: json.integer('tokens', { min: 0 }),
  };
  if (version === 1) return { ...common, ...version1(json, options, config), metadata: counters };
  const state = fieldsOf(json.file, json.object('state'), 'state.');
  const transform = fieldsOf(json.file, state.object('transform'), 'state.transform.');
  const output = config.output && readSteps(transform, 'output', table, config.output.width);
  const { metadata, ...known } = readState(state, config.nLatents);
  return {
    ...common,
    transform: { input: readSteps(transform, 'input', table, width), ...(output && { output }) },
    ...known,
    metadata: { ...metadata, ...counters },
  };
}

/** Version 1 had the normaliser's average norm instead of a transform, and prefixes in the options only. */
function version1(
  json: Fields,
  given: Readonly<Record<string, unknown>>,
  { input, nLatents }: { input: { width: number }; nLatents: number },
): Pick<Checkpoint, 'inferenceThreshold' | 'transform' | 'prefixes' | 'warnings'> {
  const average = json.has('normalizer') ? json.number('normalizer') : undefined;
  if (average !== undefined && average <= 0) {
    throw formatError({
      file: json.file,
      field: 'normalizer',
      found: show(average),
      expected: 'an average norm > 0',
    });
  }
  const options = fieldsOf(json.file, { ...given }, 'options.');
  const scheme = fieldsOf(json.file, options.object('prefixes'), 'options.prefixes.');
  const lengths = scheme.raw.kind === 'truncated-pareto' ? undefined : scheme.integers('lengths');
  // a long list is cut short in the state
  const complete = lengths !== undefined && lengths.at(-1) === nLatents;
  return {
    inferenceThreshold: json.has('inferenceThreshold') ? json.number('inferenceThreshold') : null,
    ...(average !== undefined && { transform: { input: [scaleStep(Math.sqrt(input.width) / average)] } }),
    ...(complete && {
      prefixes: prefixRecord(
        json.file,
        'options.prefixes.lengths',
        lengths,
        scheme.numbers('weights'),
        nLatents,
      ),
    }),
    warnings: [],
  };
}
