import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'

const root = join(__dirname, '..', '..', '..')
const rows = readFileSync(join(root, 'docs', 'surface.txt'), 'utf8')
  .split('\n')
  .map((line) => line.replace(/#.*/, '').trim().split(/\s+/))
  .filter((names) => names.length === 3)
const column = (index: number): string[] => [...new Set(rows.map((names) => names[index] ?? ''))].filter((name) => name !== '-').sort()
const text = (...path: string[]): string => readFileSync(join(root, ...path), 'utf8')

test('the list names what the engine has in Rust', () => {
  const files = ['engine', 'simulate'].flatMap((room) => 
    readdirSync(join(root, 'campaign-core', 'src', room), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.rs'))
      .map((name) => [room, name])
  )
  const found = new Set<string>()
  for (const [room = '', name = ''] of files) {
    for (const block of text('campaign-core', 'src', room, name).split(/^impl Engine \{/m).slice(1)) {
      for (const [, method = ''] of (block.split(/^\}/m)[0] ?? '').matchAll(/^ {4}pub (?:async )?fn (\w+)/gm)) found.add(method)
    }
  }
  assert.deepEqual([...found].sort(), column(0))
})

test('the list names what the engine has in Python', (context) => {
  if (!existsSync(join(root, 'campaign-py'))) return context.skip('there is no Python package yet')
  const folder = join(root, 'campaign-py', 'python', 'campaign')
  const sources = readdirSync(folder).filter((name) => /\.pyi?$/.test(name)).map((name) => readFileSync(join(folder, name), 'utf8'))
  const classes = sources.flatMap((source) => source.split(/^(?=class |def |@)/m)).filter((block) => /^class Engine[:(]/.test(block))
  assert.ok(classes.length > 0, 'no class Engine in campaign-py/python/campaign')
  const methods = [...(classes[0] ?? '').matchAll(/^ {4}(?:async )?def ([a-z]\w*)/gm)].map(([, name = '']) => name)
  assert.deepEqual([...new Set(methods)].sort(), column(1))
})

test('the list names what the engine has in Node.js', () => {
  const declared = text('campaign-node', 'dist', 'engine.d.ts').split('export declare class Engine {')[1] ?? ''
  const methods = [...declared.matchAll(/^ {4}(?:static )?([a-z]\w*)\(/gm)].map(([, name = '']) => name).filter((name) => name !== 'constructor')
  assert.deepEqual([...new Set(methods)].sort(), column(2))
})

test('the public surface has no `any` and is documented throughout', () => {
  const folder = join(root, 'campaign-node', 'dist')
  for (const name of ['index', 'engine', 'dialer', 'campaign', 'errors', 'events', 'store', 'types', 'testing']) {
    const lines = readFileSync(join(folder, `${name}.d.ts`), 'utf8').split('\n')
    let within = ''
    for (const [index, line] of lines.entries()) {
      if (line.startsWith('export ')) within = line
      const place = `${name}.d.ts:${index + 1}: ${line}`
      if (!/^\s*(\/?\*|\/\/)/.test(line)) assert.doesNotMatch(line, /\bany\b/, place)
      const member = /^export (declare |interface |type )/.test(line) || /^ {4}(static |readonly )?[a-z]\w*[?]?[(:]/.test(line)
      if (!member || / from '/.test(line) || (within.startsWith('export type ') && !line.startsWith('export '))) continue
      const before = lines.slice(0, index).findLast((other) => other.trim() !== '') ?? ''
      assert.match(before, /\*\//, `${place} has no TSDoc`)
    }
  }
})

test('the binding decides nothing and stays small', () => {
  const folder = join(root, 'campaign-node', 'src')
  const sources = readdirSync(folder).map((name) => ({ name, source: readFileSync(join(folder, name), 'utf8') }))
  assert.ok(sources.length >= 6)
  for (const { name, source } of sources) {
    assert.doesNotMatch(source, /\b(Disposition|ContactStatus|CampaignStatus|AttemptState|Verdict)::/, `${name} looks at what something came to`)
  }
  const lines = sources.reduce((sum, { source }) => sum + source.split('\n').length, 0)
  assert.ok(lines <= 1500, `${lines} lines`)
})
