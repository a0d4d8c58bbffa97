/** What a report is made from. Everything but a title and one evaluated run is optional; what is missing is left out and said so. */
import type { LogitEffects, Numbers } from '@msae/eval/metrics';

export interface ReportInput {
  readonly title: string;
  /** One sentence under the title. */
  readonly subtitle?: string;
  /** Facts about the data and the model, in order. */
  readonly facts?: readonly Fact[];
  /** Remarks shown above everything, for instance what is missing. */
  readonly notes?: readonly string[];
  /** At least one; the first is explored first, the others stand beside it. */
  readonly runs: readonly ReportRun[];
  /** Text of every token id. Without it contexts show ids. */
  readonly vocabulary?: readonly string[];
  /** Further tables, for instance the same metrics over several seeds. */
  readonly tables?: readonly ReportTable[];
}

export interface Fact {
  readonly label: string;
  readonly value: string;
}

export interface ReportTable {
  readonly title: string;
  readonly note?: string;
  readonly columns: readonly string[];
  /** Cells are shown as they are; numbers keep four digits. */
  readonly rows: readonly (readonly (string | number | null)[])[];
}

export interface ReportRun {
  readonly name: string;
  readonly evaluation: EvaluationInput;
  readonly facts?: readonly Fact[];
  /** Cross-entropy recovered, overall and by prefix. */
  readonly recovered?: RecoveredInput;
  /** Rows of a metrics JSONL: `step` and any of `loss`, `fvu`, `l0`, `deadFraction`. Other rows and fields are ignored. */
  readonly curves?: readonly CurvePoint[];
  /** One entry a latent, from `logitEffects`. */
  readonly logitEffects?: readonly LogitEffects[];
}

export interface RecoveredInput {
  readonly ceRecovered: number | null;
  readonly klRecovered?: number | null;
  /** Cross-entropy in nats a token with clean and with reconstructed activations. */
  readonly ceClean?: number | null;
  readonly ceReconstructed?: number | null;
  readonly prefixes?: readonly { readonly length: number; readonly ceRecovered: number | null }[];
}

export interface CurvePoint {
  readonly step?: number;
  readonly loss?: number | null;
  readonly fvu?: number | null;
  readonly l0?: number | null;
  readonly deadFraction?: number | null;
}

/**
 * An evaluation of @msae/eval, or `JSON.parse` of its `evaluationToJson` (null where a number was not finite). A report needs the
 * standard metrics `sparsity` and `prefixes`; every metric's rows are in `table`, a user's own among them.
 */
export interface EvaluationInput {
  readonly nLatents: number;
  readonly tokens: number;
  readonly table: readonly MetricRowInput[];
  readonly sparsity: {
    readonly densities: Numbers;
    readonly meanActivation: Numbers;
    readonly maxActivation: Numbers;
  };
  readonly prefixes: readonly {
    readonly length: number;
    readonly l0: number | null;
    readonly fvu: number | null;
  }[];
  readonly forest?: ForestInput;
  /** One entry a latent each. */
  readonly histograms?: readonly { readonly upper: number; readonly counts: Numbers }[];
  readonly contexts?: readonly (readonly ContextInput[])[];
  readonly labels?: LabelsInput;
}

/** A number of an evaluation, as its metric describes it. */
export interface MetricRowInput {
  /** The metric's name. */
  readonly metric: string;
  readonly label: string;
  readonly value: number | null;
  readonly better?: 'lower' | 'higher';
  /** A share, shown in percent. */
  readonly percent?: boolean;
  readonly help: string;
}

export interface ForestInput {
  readonly parent: Numbers;
  readonly conditional: Numbers;
  readonly lift: Numbers;
  readonly edges: number;
}

export interface ContextInput {
  readonly activation: number;
  readonly focus: number;
  readonly tokens: Numbers;
  readonly activations: Numbers;
}

export interface LabelsInput {
  readonly name: string;
  readonly names: readonly string[];
  readonly base: Numbers;
  /** The most frequent labels of every latent. */
  readonly profiles: readonly (readonly { readonly label: number; readonly share: number }[])[];
}
