/** Configurations from before SAELens 6.0 (`handle_pre_6_0_config`): other names, defaults, and metadata at the top level. */
import { fieldsOf } from '../configFields.ts';
import type { JsonObject } from '../folder.ts';

export function modernise(file: string, json: JsonObject): JsonObject {
  const metadata = fieldsOf(file, json).object('metadata');
  const version = json.sae_lens_version ?? metadata.sae_lens_version;
  if (typeof version === 'string' && Number.parseInt(version, 10) >= 6) return json;
  const renamed: JsonObject = { ...json };
  const kwargs = fieldsOf(file, json).object('activation_fn_kwargs');
  const fn = json.activation_fn ?? json.activation_fn_str;
  if (fn === 'topk' && kwargs.k !== undefined) Object.assign(renamed, { architecture: 'topk', k: kwargs.k });
  renamed.architecture ??= 'standard';
  const normalize = json.normalize_activations ?? 'none';
  renamed.normalize_activations =
    typeof normalize === 'boolean' ? (normalize ? 'expected_average_only_in' : 'none') : normalize;
  const hook = json.hook_name ?? json.hook_point;
  renamed.reshape_activations ??= typeof hook === 'string' && hook.includes('hook_z') ? 'hook_z' : 'none';
  const kept = [
    'model_name',
    'hook_head_index',
    'context_size',
    'prepend_bos',
    'dataset_path',
    'neuronpedia_id',
  ];
  const moved = kept.filter((key) => key in json).map((key) => [key, json[key]]);
  renamed.metadata = { ...Object.fromEntries(moved), ...(hook ? { hook_name: hook } : {}), ...metadata };
  return renamed;
}
