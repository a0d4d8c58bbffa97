/** What a format is to the rest of the package: how its files are known, how they are read, and perhaps written. */
import type { Sae } from '@msae/core';
import type { Checkpoint } from '../checkpoint.ts';
import type { openTorch } from '../containers/openTensors.ts';
import type { SaeFile, WeightDtype } from '../containers/saeFile.ts';
import type { TensorTable } from '../containers/tensorTable.ts';
import type { Folder } from '../folder.ts';

/** A file that may be an SAE, or the part of one that a folder is known by. */
export interface Candidate {
  /** The place as a whole, and the file's path in it. */
  readonly root: Folder;
  readonly path: string;
  /** The folder it lies in, and its name there. */
  readonly folder: Folder;
  readonly name: string;
  /** The user's own words for the place: in Gemma Scope a folder's name says what kind of SAE it holds. */
  readonly hint: string;
  /** Its tensors, opened once. */
  safetensors(): Promise<TensorTable>;
  torch(): ReturnType<typeof openTorch>;
}

export interface Format {
  /** As people call it. */
  readonly title: string;
  /** Names of files by which a folder is known to be of this format. */
  readonly marks: readonly string[];
  /** Is this file of this format? Formats are asked in the order of the table; the first that says yes reads it. */
  recognise(file: Candidate): boolean | Promise<boolean>;
  read(file: Candidate): Promise<Checkpoint>;
}

/** How a format's weights are to be written. */
export interface WriteOptions {
  readonly dtype: WeightDtype;
  /** Make decoder rows unit vectors, where that leaves the choice of latents alone. */
  readonly foldDecoderNorm: boolean;
}

export interface Writer {
  /** Names of the files it writes. */
  readonly files: readonly string[];
  /** @throws MsaeError `unsupported` for what the format cannot hold */
  write(sae: Sae, options: WriteOptions): Promise<SaeFile[]>;
}
