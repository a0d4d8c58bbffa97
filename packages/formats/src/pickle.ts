/**
 * Reads Python pickles (protocols 0 to 5) as data, and only as data. Nothing is ever imported or called: a GLOBAL is
 * looked up in the table the caller gives, and one that is not there ends the reading with its name.
 * Opcodes: CPython's Lib/pickletools.py.
 */
import { formatError, show } from './formatError.ts';

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

/** One pickle in memory, from `offset`; returns the value and where the next one begins. */
export function readPickle(
  bytes: Uint8Array,
  options: PickleOptions,
  offset = 0,
): { value: unknown; end: number } {
  const machine = new Machine(bytes, options, offset);
  return { value: machine.run(), end: machine.position };
}

class Machine {
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

  run(): unknown {
    for (;;) {
      const at = this.position;
      const opcode = this.#u8();
      if (opcode === 0x2e) return this.#pop(); // STOP
      const action = opcodes[opcode];
      if (!action) {
        throw this.fail(
          `opcode 0x${opcode.toString(16)} at byte ${at}`,
          'an opcode of pickle protocols 0 to 5 that describes plain data',
        );
      }
      action(this);
    }
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

  #u8(): number {
    return this.#bytes[this.need(1)]!;
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

/** LONG1/LONG4: two's complement, little-endian. */
function long(bytes: Uint8Array): number | bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  if (bytes.length && bytes[bytes.length - 1]! & 0x80) value -= 1n << BigInt(8 * bytes.length);
  const small = Number(value);
  return Number.isSafeInteger(small) ? small : value;
}

function longLength(m: Machine, length: number): number {
  if (length > 64) throw m.fail(`an integer of ${length} bytes`, 'at most 64 bytes');
  return length;
}

function decimal(m: Machine, text: string): unknown {
  if (text === '00') return false;
  if (text === '01') return true;
  const digits = text.replace(/L$/, '');
  if (!/^-?\d{1,150}$/.test(digits)) throw m.fail(show(text), 'a whole number');
  const value = Number(digits);
  return Number.isSafeInteger(value) ? value : BigInt(digits);
}

const latin1 = (bytes: Uint8Array): string => Array.from(bytes, (code) => String.fromCharCode(code)).join('');

/** Python's raw-unicode-escape: Latin-1 with \uXXXX and \UXXXXXXXX. */
function rawUnicode(bytes: Uint8Array): string {
  return latin1(bytes).replace(
    /\\u([0-9a-f]{4})|\\U([0-9a-f]{8})/gi,
    (whole, short?: string, long?: string) => {
      const code = Number.parseInt((short ?? long)!, 16);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}

const actions: Readonly<Record<string, (m: Machine) => void>> = {
  '0x80': (m) => {
    const protocol = m.uint(1);
    if (protocol > 5) throw m.fail(`protocol ${protocol}`, 'protocol 5 or older');
  },
  '0x95': (m) => void m.uint(8), // FRAME
  '0x28': (m) => m.pushMark(),
  '0x30': (m) => m.popOrMark(),
  '0x31': (m) => void m.popToMark(),
  '0x32': (m) => m.push(m.top()),
  '0x4e': (m) => m.push(null),
  '0x88': (m) => m.push(true),
  '0x89': (m) => m.push(false),
  '0x4a': (m) => m.push(m.int32()),
  '0x4b': (m) => m.push(m.uint(1)),
  '0x4d': (m) => m.push(m.uint(2)),
  '0x47': (m) => m.push(m.float64()),
  '0x49': (m) => m.push(decimal(m, m.line())), // INT
  '0x4c': (m) => m.push(decimal(m, m.line())), // LONG
  '0x46': (m) => m.push(Number(m.line())), // FLOAT
  '0x8a': (m) => m.push(long(m.raw(longLength(m, m.uint(1))))),
  '0x8b': (m) => m.push(long(m.raw(longLength(m, m.uint(4))))),
  '0x56': (m) => m.push(rawUnicode(m.rawLine())), // UNICODE
  '0x58': (m) => m.push(m.text(m.uint(4))),
  '0x8c': (m) => m.push(m.text(m.uint(1))),
  '0x8d': (m) => m.push(m.text(m.uint(8))),
  '0x54': (m) => m.push(latin1(m.raw(m.uint(4)))), // BINSTRING
  '0x55': (m) => m.push(latin1(m.raw(m.uint(1)))), // SHORT_BINSTRING
  '0x42': (m) => m.push(m.raw(m.uint(4))), // BINBYTES
  '0x43': (m) => m.push(m.raw(m.uint(1))),
  '0x8e': (m) => m.push(m.raw(m.uint(8))),
  '0x29': (m) => m.push([]), // tuples and lists are both arrays
  '0x5d': (m) => m.push([]),
  '0x7d': (m) => m.push(new Map()),
  '0x74': (m) => m.push(m.popToMark()),
  '0x6c': (m) => m.push(m.popToMark()), // LIST
  '0x64': (m) => {
    const items = m.popToMark();
    m.push(new Map());
    m.dict(items);
  },
  '0x85': (m) => m.push([m.pop()]),
  '0x86': (m) => {
    const b = m.pop();
    m.push([m.pop(), b]);
  },
  '0x87': (m) => {
    const c = m.pop();
    const b = m.pop();
    m.push([m.pop(), b, c]);
  },
  '0x61': (m) => {
    const item = m.pop();
    m.list().push(item);
  },
  '0x65': (m) => {
    const items = m.popToMark();
    const list = m.list();
    for (const item of items) list.push(item);
  },
  '0x73': (m) => {
    const value = m.pop();
    const key = m.pop();
    m.dict([key, value]);
  },
  '0x75': (m) => {
    const items = m.popToMark();
    m.dict(items);
  },
  '0x71': (m) => m.put(m.uint(1)),
  '0x72': (m) => m.put(m.uint(4)),
  '0x70': (m) => m.put(Number(decimal(m, m.line()))),
  '0x94': (m) => m.memoize(),
  '0x68': (m) => m.get(m.uint(1)),
  '0x6a': (m) => m.get(m.uint(4)),
  '0x67': (m) => m.get(Number(decimal(m, m.line()))),
  '0x63': (m) => {
    const module = m.line();
    m.global(module, m.line());
  },
  '0x93': (m) => {
    const name = m.pop();
    const module = m.pop();
    if (typeof name !== 'string' || typeof module !== 'string') throw m.fail('a nameless global', 'a name');
    m.global(module, name);
  },
  '0x52': (m) => m.call(), // REDUCE
  '0x81': (m) => m.call(), // NEWOBJ
  '0x62': (m) => void m.pop(), // BUILD: the attributes of an object (a state dict's _metadata) are left out
  '0x51': (m) => m.persistent(m.pop()),
};

const opcodes: ((m: Machine) => void)[] = [];
for (const [code, action] of Object.entries(actions)) opcodes[Number(code)] = action;
