/** The file that `msae eval` writes and `msae report` reads: an evaluation with all that a report can show of it. */
import { readFile } from 'node:fs/promises';
import { writeFileAtomic } from '@msae/data/node';
import { evaluationToJson, type LogitEffects, type SaeEvaluation } from '@msae/eval';
import type { EvaluationInput, Fact, RecoveredInput } from '@msae/report';
import * as v from 'valibot';

export interface EvaluationFile {
  readonly kind: 'msae-evaluation';
  readonly version: 2;
  readonly name: string;
  readonly facts: readonly Fact[];
  readonly evaluation: EvaluationInput;
  readonly recovered?: RecoveredInput;
  readonly logitEffects?: readonly LogitEffects[];
  /** Text of every token id. */
  readonly vocabulary?: readonly string[];
}

/** What only has to be there; the report checks sizes against each other. */
const schema = v.object({
  kind: v.literal('msae-evaluation'),
  version: v.literal(2),
  name: v.string(),
  facts: v.array(v.object({ label: v.string(), value: v.string() })),
  evaluation: v.looseObject({
    nLatents: v.number(),
    tokens: v.number(),
    table: v.array(
      v.looseObject({
        metric: v.string(),
        label: v.string(),
        value: v.nullable(v.number()),
        help: v.string(),
      }),
    ),
    sparsity: v.looseObject({ densities: v.array(v.nullable(v.number())) }),
    prefixes: v.array(v.looseObject({ length: v.number() })),
  }),
});

export async function writeEvaluation(
  path: string,
  file: Omit<EvaluationFile, 'kind' | 'version' | 'evaluation'> & { readonly evaluation: SaeEvaluation },
): Promise<void> {
  const { evaluation, ...rest } = file;
  const head = JSON.stringify({ kind: 'msae-evaluation', version: 2, ...rest });
  await writeFileAtomic(path, `${head.slice(0, -1)},"evaluation":${evaluationToJson(evaluation)}}\n`);
}

/** Throws one Error that names the file and what is wrong with it. */
export async function readEvaluation(path: string): Promise<EvaluationFile> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`${path}: ${cause.code === 'ENOENT' ? 'there is no such file' : cause.message}`, {
      cause,
    });
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new Error(`${path}: not valid JSON: ${(cause as Error).message}`, { cause });
  }
  const checked = v.safeParse(schema, json);
  if (!checked.success) {
    const [issue] = checked.issues;
    throw new Error(
      `${path}: ${v.getDotPath(issue) ?? 'the file'}: ${issue.message}; expected the file that msae eval writes`,
    );
  }
  return json as EvaluationFile;
}
