/** Cuts a model at a tap: the part after it is run on other values than those that were computed. */
import { msaeError } from '@msae/schema';
import type { ContextBatch } from './contexts.ts';
import { type FeedPlan, feedPlan } from './feeds.ts';
import type { TransformerModel } from './model.ts';
import { feedTraits, runBatch } from './positions.ts';
import type { OnnxTensor } from './runtime.ts';

/** A model cut at a tap. */
export interface SplicedModel {
  /** Values of the tap and of the output with nothing replaced. */
  clean(batch: ContextBatch): Promise<{ tap: OnnxTensor; output: OnnxTensor }>;
  /** Values of the output when the tap is `values`, of the tap's own shape; a float16 tap gets them rounded. */
  run(batch: ContextBatch, tap: OnnxTensor, values: Float32Array): Promise<OnnxTensor>;
  plan: FeedPlan;
  release(): Promise<void>;
}

/**
 * Cuts a model at a tap.
 *
 * @throws MsaeError `option` when the tap is unknown or the output does not depend on it
 */
export async function spliceModel(
  model: TransformerModel,
  tap: string,
  output?: string,
): Promise<SplicedModel> {
  const wanted = output ?? model.graph.outputs[0]!;
  const tensor = model.resolve(tap);
  const name = model.resolve(wanted);
  const spliced = await model.splicedSession(tap, [name]);
  const whole = await model.session([tensor, name]);
  const traits = feedTraits(model);
  const plan = feedPlan(model.name, whole.inputs, model.runtime, [], traits);
  const rest = feedPlan(model.name, spliced.inputs, model.runtime, [spliced.fedInput], traits);
  return {
    plan,
    async clean(batch) {
      const outputs = await runBatch(model, whole.session, plan, batch);
      return { tap: outputs[tensor]!, output: outputs[name]! };
    },
    async run(batch, like, values) {
      const fed = new model.runtime.Tensor('float32', values, like.dims);
      if (like.type !== 'float32' && like.type !== 'float16')
        throw msaeError(
          'unsupported',
          `tap ${tap} is ${like.type}; only floating-point values can be replaced`,
        );
      const outputs = await runBatch(model, spliced.session, rest, batch, { [spliced.fedInput]: fed });
      return outputs[name]!;
    },
    async release() {
      await whole.session.release();
      await spliced.session.release();
    },
  };
}
