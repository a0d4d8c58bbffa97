/** Reads the native format (see file.ts). */
import type { Checkpoint } from '../checkpoint.ts';
import { fieldsOf } from '../configFields.ts';
import { openSafetensors } from '../containers/openTensors.ts';
import { type Folder, requireJson } from '../folder.ts';
import { formatError } from '../formatError.ts';
import type { Format } from '../formats/definition.ts';
import { configFile, weightsFile } from './file.ts';
import { readVersion1 } from './version1.ts';
import { coreWeights, described, readConfig, readState, readSteps } from './wholeSae.ts';

export const msae: Format = {
  title: 'msae',
  marks: [configFile],
  recognise: async ({ folder, name }) =>
    name === configFile || (name === weightsFile && (await folder.open(configFile)) !== undefined),
  read: ({ folder }) => readMsae(folder),
};

async function readMsae(folder: Folder): Promise<Checkpoint> {
  const json = fieldsOf(
    `${folder.name}/${configFile}`,
    await requireJson(folder, configFile, 'the configuration'),
  );
  json.choice('format', ['msae']);
  const version = json.integer('version');
  if (version !== 1 && version !== 2) {
    throw formatError({
      file: json.file,
      field: 'version',
      found: `${version}`,
      expected: '1 or 2',
      hint: 'update @msae/formats',
    });
  }
  const table = await openSafetensors(folder, weightsFile);
  if (version === 1) return readVersion1(json, table);
  const config = readConfig(json, 'config');
  const weights = coreWeights(table, config);
  const transform = fieldsOf(json.file, json.object('transform'), 'transform.');
  const input = readSteps(transform, 'input', table, config.input.width);
  const output = config.output && readSteps(transform, 'output', table, config.output.width);
  table.finish();
  return {
    ...described(config),
    file: table.file,
    weights,
    transform: { input, ...(output && { output }) },
    ...readState(json, config.nLatents),
  };
}
