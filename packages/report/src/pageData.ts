/** The data of a page as its script reads it: JSON, with everything that grows with the dictionary packed into base64 arrays. */

/** Base64 of a little-endian typed array. */
export interface Packed {
  readonly type: 'u8' | 'u16' | 'u32' | 'i32' | 'f32';
  readonly base64: string;
}

export interface PageData {
  readonly title: string;
  readonly notes: readonly string[];
  readonly facts: readonly PageFact[];
  readonly tables: readonly PageTable[];
  readonly metrics: readonly PageMetric[];
  readonly runs: readonly PageRun[];
  readonly vocabulary: readonly string[] | null;
}

export interface PageFact {
  readonly label: string;
  readonly value: string;
}

export interface PageTable {
  readonly title: string;
  readonly note?: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number | null)[])[];
}

/** One line of the table that compares runs. */
export interface PageMetric {
  readonly label: string;
  readonly help: string;
  readonly better?: 'lower' | 'higher';
  readonly percent?: boolean;
  /** One value a run; null = not measured or not finite. */
  readonly values: readonly (number | null)[];
}

export interface PageRun {
  readonly name: string;
  readonly facts: readonly PageFact[];
  readonly nLatents: number;
  readonly tokens: number;
  readonly curves: readonly PagePoint[];
  readonly prefixes: readonly {
    readonly length: number;
    readonly fvu: number | null;
    readonly l0: number | null;
    readonly ceRecovered: number | null;
  }[];
  /** Counts by log10 density. */
  readonly density: {
    readonly edges: readonly number[];
    readonly counts: readonly number[];
    readonly dead: number;
  };
  /** f32 [N] each. */
  readonly densities: Packed;
  readonly means: Packed;
  readonly maxima: Packed;
  readonly forest: PageForest | null;
  readonly histograms: PageHistograms | null;
  readonly contexts: PageContexts | null;
  readonly labels: PageLabels | null;
  readonly logits: PageLogits | null;
}

export interface PagePoint {
  readonly step: number;
  readonly loss: number | null;
  readonly fvu: number | null;
  readonly l0: number | null;
  readonly dead: number | null;
}

export interface PageForest {
  /** i32 [N]; -1 = root. */
  readonly parent: Packed;
  /** f32 [N]. */
  readonly conditional: Packed;
  readonly lift: Packed;
}

export interface PageHistograms {
  readonly bins: number;
  /** f32 [N]. */
  readonly uppers: Packed;
  /** u32 [N · bins]. */
  readonly counts: Packed;
}

/** Contexts one after the other, latent after latent. */
export interface PageContexts {
  /** u8 [N]: contexts of each latent. */
  readonly counts: Packed;
  /** u8 each, one entry a context. */
  readonly lengths: Packed;
  readonly focus: Packed;
  /** u16 or u32 ids, and u8 magnitudes of activations as 255ths of the latent's greatest; one entry a token. */
  readonly tokens: Packed;
  readonly shades: Packed;
  /** u8, 1 where an activation is below 0, one entry a token; null where none is. */
  readonly negative: Packed | null;
}

export interface PageLabels {
  readonly name: string;
  readonly names: readonly string[];
  readonly base: readonly number[];
  readonly top: number;
  /** u16 label and f32 share [N · top]; share 0 = no further label. */
  readonly label: Packed;
  readonly share: Packed;
}

export interface PageLogits {
  readonly top: number;
  /** [N · top]: token ids and effects, promoted and suppressed. */
  readonly promoted: Packed;
  readonly promotedBy: Packed;
  readonly suppressed: Packed;
  readonly suppressedBy: Packed;
}
