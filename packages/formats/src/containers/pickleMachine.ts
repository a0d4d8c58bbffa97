/** The machine that pickles run on: a stack, a memo, and the table of names that may be spoken. See pickle.ts. */
import { formatError, show } from '../formatError.ts';

/** What a pickle's callable becomes: a function of its arguments. `build` receives the state of a BUILD opcode. */
export interface PickleGlobal {
  /** Called for REDUCE and NEWOBJ. Absent: the name is only a token (a dtype, a storage class). */
  reduce?: (args: readonly unknown[]) => unknown;
}

/** A name from the table, as it lies on the stack before it is called. */
export interface PickleToken {
  readonly name: string;
  readonly global: PickleGlobal;
}

export interface PickleOptions {
  /** What error messages call the file. */
  name: string;
  /** Allowed globals by `module.name`. */
  globals: Readonly<Record<string, PickleGlobal>>;
  /** Resolves a persistent id (BINPERSID); torch stores its storages that way. */
  persistentLoad?: (id: unknown) => unknown;
}

const mark: unique symbol = Symbol('mark');

/** The stack machine that a pickle is a program of; it can build data and nothing else. */
export class PickleMachine {
  position: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #options: PickleOptions;
  #stack: unknown[] = [];
  readonly #memo = new Map<number, unknown>();
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true });

  constructor(bytes: Uint8Array, options: PickleOptions, offset: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#options = options;
    this.position = offset;
  }

  fail(found: string, expected: string): Error {
    return formatError({ file: this.#options.name, field: 'pickle', found, expected });
  }

  need(length: number): number {
    const at = this.position;
    if (!Number.isSafeInteger(length) || length < 0 || at + length > this.#bytes.byteLength) {
      throw this.fail(
        `the end at byte ${this.#bytes.byteLength} (${length} bytes were wanted at byte ${at})`,
        'a whole pickle; the file is truncated or damaged',
      );
    }
    this.position = at + length;
    return at;
  }

  uint(size: 1 | 2 | 4 | 8): number {
    const at = this.need(size);
    if (size === 1) return this.#view.getUint8(at);
    if (size === 2) return this.#view.getUint16(at, true);
    if (size === 4) return this.#view.getUint32(at, true);
    return Number(this.#view.getBigUint64(at, true));
  }
  int32(): number {
    return this.#view.getInt32(this.need(4), true);
  }
  float64(): number {
    return this.#view.getFloat64(this.need(8), false); // BINFLOAT is big-endian
  }
  raw(length: number): Uint8Array {
    const at = this.need(length);
    return this.#bytes.subarray(at, at + length);
  }
  text(length: number): string {
    const at = this.position;
    const part = this.raw(length);
    try {
      return this.#utf8.decode(part);
    } catch {
      throw this.fail(`a string at byte ${at} that is not UTF-8`, 'UTF-8 text');
    }
  }
  line(): string {
    const at = this.position;
    const length = this.rawLine().byteLength;
    this.position = at;
    const text = this.text(length);
    this.position++;
    return text;
  }
  rawLine(): Uint8Array {
    const end = this.#bytes.indexOf(0x0a, this.position);
    if (end < 0) throw this.fail(`a line at byte ${this.position} without an end`, 'a line');
    const line = this.#bytes.subarray(this.position, end);
    this.position = end + 1;
    return line;
  }

  push(value: unknown): void {
    this.#stack.push(value);
  }
  #pop(): unknown {
    if (this.#stack.length === 0) throw this.fail('an empty stack', 'a value');
    const value = this.#stack.pop();
    if (value === mark) throw this.fail('a mark', 'a value');
    return value;
  }
  pop(): unknown {
    return this.#pop();
  }
  top(): unknown {
    const value = this.#stack.at(-1);
    if (this.#stack.length === 0 || value === mark) throw this.fail('an empty stack', 'a value');
    return value;
  }
  pushMark(): void {
    this.#stack.push(mark);
  }
  popToMark(): unknown[] {
    const at = this.#stack.lastIndexOf(mark);
    if (at < 0) throw this.fail('no mark on the stack', 'a mark');
    const items = this.#stack.splice(at);
    items.shift();
    return items;
  }
  popOrMark(): void {
    if (this.#stack.length === 0) throw this.fail('an empty stack', 'a value');
    this.#stack.pop();
  }
  put(index: number): void {
    this.#memo.set(index, this.top());
  }
  memoize(): void {
    this.put(this.#memo.size);
  }
  get(index: number): void {
    if (!this.#memo.has(index)) throw this.fail(`memo entry ${index}, never stored`, 'a stored entry');
    this.push(this.#memo.get(index));
  }

  global(module: string, name: string): void {
    const full = `${module}.${name}`;
    const table = this.#options.globals;
    if (!Object.hasOwn(table, full)) {
      throw formatError({
        file: this.#options.name,
        field: 'pickle',
        found: `the global ${show(full)}`,
        expected: `only ${Object.keys(table).slice(0, 4).join(', ')} and the like`,
        hint: 'it was refused and not executed; save the state dict alone (torch.save(model.state_dict(), path)) or as safetensors',
      });
    }
    this.push({ name: full, global: table[full]! } satisfies PickleToken);
  }
  call(): void {
    const args = this.pop();
    const callable = this.pop();
    if (!Array.isArray(args)) throw this.fail(show(args), 'a tuple of arguments');
    if (!isToken(callable) || !callable.global.reduce) {
      throw this.fail(`a call of ${isToken(callable) ? callable.name : show(callable)}`, 'a known function');
    }
    this.push(callable.global.reduce(args));
  }
  persistent(id: unknown): void {
    const load = this.#options.persistentLoad;
    if (!load) throw this.fail('a persistent id', 'none');
    this.push(load(id));
  }
  list(): unknown[] {
    const list = this.top();
    if (!Array.isArray(list)) throw this.fail(show(list), 'a list to append to');
    return list;
  }
  dict(items: unknown[]): void {
    const dict = this.top();
    if (!(dict instanceof Map)) throw this.fail(show(dict), 'a dict to fill');
    if (items.length % 2) throw this.fail(`${items.length} items`, 'pairs of key and value');
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i];
      if (typeof key === 'object' && key !== null) throw this.fail(show(key), 'a string or number as a key');
      dict.set(key, items[i + 1]);
    }
  }
}

export function isToken(value: unknown): value is PickleToken {
  return typeof value === 'object' && value !== null && 'global' in value && 'name' in value;
}
