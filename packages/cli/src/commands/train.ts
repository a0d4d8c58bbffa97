/** `msae train DATA --out DIR`: train an SAE on stored activations, resumable at any moment. */
import { join } from 'node:path';
import { msaeError } from '@msae/schema';
import { directoryStorage } from '@msae/train/node';
import type { CommandDef } from 'citty';
import { command } from '../command.ts';
import { readJson } from '../configFile.ts';
import { type FlagTexts, isObject, type Json, mergeSettings } from '../options/fromFlags.ts';
import { parseTrainConfig, type TrainConfig } from './trainConfig.ts';
import { flagSettings, trainArgs } from './trainFlags.ts';
import { runFile, runTraining } from './trainRun.ts';

const definition: CommandDef = command({
  meta: { name: 'train', description: 'Train an SAE on stored activations' },
  args: trainArgs,
  async run({ args }) {
    const flags: FlagTexts & { readonly out: string } = { ...(args as FlagTexts), out: String(args.out) };
    const { config, given } = await settle(flags);
    const { finished } = await runTraining(config, {
      out: flags.out,
      resume: flags.resume === true,
      given,
      json: flags.json === true,
      tensorboard: flags.tensorboard === true,
    });
    if (!finished) process.exitCode = 130;
  },
});

export default definition;

/** The run's configuration: --config, or OUT/run.json of a run that is resumed, with the flags over it. */
async function settle(
  flags: FlagTexts & { readonly out: string },
): Promise<{ config: TrainConfig; given: Json }> {
  const own = join(flags.out, runFile);
  const resume = flags.resume === true;
  const checkpoints = await directoryStorage(join(flags.out, 'checkpoints')).list();
  if (!resume && checkpoints.length > 0) {
    throw new Error(
      `--out: ${flags.out} holds a run already (${checkpoints.at(-1)}); add --resume to continue it, or name another directory`,
    );
  }
  if (resume && checkpoints.length === 0) {
    throw new Error(
      `--resume: there is no checkpoint in ${join(flags.out, 'checkpoints')}; start without --resume`,
    );
  }
  const config = typeof flags.config === 'string' ? flags.config : undefined;
  const fromConfig = config === undefined ? {} : await readJson(config);
  const given = mergeSettings(fromConfig, flagSettings(flags)) as Json;
  const before = resume ? settingsOfRun(await readJson(own)) : {};
  const merged = mergeSettings(before, given) as Json;
  if (isObject(merged)) {
    if (merged.data === undefined) {
      throw msaeError('option', 'the data is missing: name it first, msae train DATA --out DIR');
    }
    // an unknown name in a file is told before what is missing because of it
    const sae = isObject(merged.sae) ? merged.sae : {};
    if (sae.nLatents === undefined && config === undefined) {
      throw msaeError('option', '--latents: say how many latents the SAE shall have');
    }
  }
  return { config: parseTrainConfig(merged, config ?? (resume ? own : undefined), flags), given };
}

/** run.json without what the run itself has written into it. */
function settingsOfRun(json: unknown): unknown {
  if (!isObject(json)) return json;
  const { fingerprint: _, ...settings } = json;
  return settings;
}
