// Finds the native half: beside this package when it was built from source, else in the package of this platform.

import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** The native half of one engine. */
export interface Native {
  call(id: number, method: string, args: string, bytes?: Uint8Array | null): void
  take(): string
  answer(answers: string): boolean
  piece(id: number, bytes?: Uint8Array | null): void
  now(id: number): number | null
  stage(id: number, stage: string): void
  command(relay: number, command: string | null): string
  abort(): void
}

/** The native half of `Slots`. */
export interface NativeSlots {
  take(dueAt: string): string
  state(): string
}

/** What the native module offers. */
export interface NativeModule {
  Native: new (wake: () => void) => Native
  Slots: new (limits: string, ledgers: string, now: string) => NativeSlots
  check(what: 'dialer' | 'assistant', description: string): string
  decide(name: string, args: string): string
  kinds(): string
}

function libc(): string {
  if (process.platform === 'win32') return '-msvc'
  if (process.platform !== 'linux') return ''
  const header = (process.report.getReport() as { header?: { glibcVersionRuntime?: string } }).header
  return header?.glibcVersionRuntime ? '-gnu' : '-musl'
}

function load(): NativeModule {
  const platform = `${process.platform}-${process.arch}${libc()}`
  const local = join(__dirname, '..', `campaign-node.${platform}.node`)
  const name = existsSync(local) ? local : `campaign-node-${platform}`
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    return require(name) as NativeModule
  } catch (cause) {
    const hint = `install the optional package campaign-node-${platform}, or build from source with: npm run build`
    throw new Error(`campaign-node has no binary for ${platform}; ${hint}`, { cause })
  }
}

/** The native module, loaded once per thread. */
export const native: NativeModule = load()
