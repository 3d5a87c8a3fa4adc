import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { Engine, SimulatedDialer } from 'campaign-node'

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

/** Fields of a struct in Rust, in JavaScript's names. */
function fields(file: string, struct: string): string[] {
  const body = text('campaign-core', 'src', ...file.split('/')).split(`pub struct ${struct} {\n`)[1]?.split(/^\}/m)[0] ?? assert.fail(`${struct} in ${file}`)
  return [...body.matchAll(/^ {4}pub (\w+):/gm)].map(([, name = '']) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()))
}

/** Fields of an interface in the declarations, without those it inherits. */
function declared(file: string, name: string): string[] {
  const source = text('campaign-node', 'dist', `${file}.d.ts`)
  const body = source.split(new RegExp(`^export (?:declare )?interface ${name}\\b[^{]*\\{\\n`, 'm'))[1]?.split(/^\}/m)[0] ?? assert.fail(`${name} in ${file}.d.ts`)
  return [...body.matchAll(/^ {4}(?:readonly )?(\w+)\??[:(]/gm)].map(([, field = '']) => field)
}

test('whatever can be set in Rust can be set here', () => {
  // Where a field goes by another name, or needs none.
  const elsewhere: Record<string, string> = { mapping: 'columnMappings', from: 'fromNumber', voicemail: 'voicemailMessage', others: 'otherRefs', organization: 'organizationId' }
  const without: Record<string, string[]> = {
    // Bounds against hostile files; they are the engine's.
    ImportOptions: ['limits'],
    // Flattened: the person's fields are at the top.
    DialRequest: ['variables'],
  }
  for (const [file, struct, where] of [
    ['engine/builder.rs', 'EngineOptions', 'engine'], ['campaign/spec.rs', 'CampaignSpec', 'types'], ['import/mod.rs', 'ImportOptions', 'types'],
    ['dialer/mod.rs', 'Capabilities', 'dialer'], ['dialer/mod.rs', 'DialRequest', 'dialer'], ['dialer/mod.rs', 'FindRequest', 'dialer'],
    ['outcome.rs', 'Outcome', 'dialer'], ['simulate/mod.rs', 'SimulateOptions', 'types'],
  ] as const) {
    const here = declared(where, struct)
    const there = fields(file, struct)
    assert.ok(there.length > 0, struct)
    const missing = there.filter((name) => !here.includes(name) && !here.includes(elsewhere[name] ?? name) && !(without[struct] ?? []).includes(name))
    assert.deepEqual(missing, [], `${struct}: not declared in TypeScript`)
  }
})

test('whatever words there are in Rust are declared here', () => {
  const types = text('campaign-node', 'dist', 'types.d.ts')
  // One word in the wire form.
  const snake = (name: string): string => name.replace('WhatsApp', 'Whatsapp').replace(/(?<=.)[A-Z]/g, (letter) => `_${letter}`).toLowerCase()
  for (const [file, name] of [
    ['outcome.rs', 'Disposition'], ['outcome.rs', 'AttemptState'], ['outcome.rs', 'Channel'], ['contact.rs', 'ContactStatus'], ['status.rs', 'CampaignStatus'],
    ['event.rs', 'EventKind'],
  ] as const) {
    const body = text('campaign-core', 'src', file).split(`pub enum ${name} {\n`)[1]?.split(/^\}/m)[0] ?? assert.fail(`${name} in ${file}`)
    const there = [...body.matchAll(/^ {4}([A-Z]\w*)/gm)].map(([, variant = '']) => snake(variant)).sort()
    const union = types.split(`export type ${name === 'EventKind' ? 'CampaignEvent' : name} =`)[1]?.split('\n/**')[0] ?? assert.fail(name)
    const here = name === 'EventKind' ? [...union.matchAll(/type: '(\w+)'/g)] : [...union.matchAll(/'(\w+)'/g)]
    assert.deepEqual([...new Set(here.map(([, word = '']) => word))].sort(), there, name)
  }
})

test('the records that arrive have the fields that are declared', async () => {
  const engine = await Engine.open('memory://', { dialer: SimulatedDialer.instant() })
  const campaign = await engine.createCampaign({ name: 'Records', rateLimitPerMinute: 'unlimited', smsMessageTemplate: 'Hi {{ nmae }}' })
  const { id } = campaign
  const list = await engine.createList('VIP')
  await engine.suppress('+12125550100')
  const report = await engine.importContacts(id, Buffer.from('phone,name\n+12125550123,Ada\n+12125550100,Bob\nnone,Eve\n'), { fileName: 'a.csv' })
  const simulation = await engine.simulate(id, { profile: 'instant' })
  const events: Record<string, object> = {}
  const stream = engine.events(id)
  await engine.start(id)
  for await (const event of stream) events[event.type] = event
  const first = async <T>(page: Promise<{ items: T[] }>): Promise<T> => (await page).items[0] ?? assert.fail('nothing there')
  const contact = await first(engine.listContacts(id))
  const [lint, why] = [await engine.lintTemplate(id), await engine.explainCampaign(id)]
  const records: [string, object | undefined, string?][] = [
    ['Contact', contact], ['Execution', await first(engine.executions(id))], ['Progress', await engine.progress(id)], ['ContactList', list],
    ['SuppressionEntry', await first(engine.suppressions())], ['ImportReport', report], ['SimulationReport', simulation], ['LintReport', lint],
    ['ContactExplanation', await engine.explain(contact.id)], ['CampaignExplanation', why], ['NodeInfo', (await engine.nodes())[0]],
    ['TimelineBucket', (await engine.timeline(id, { bucketSeconds: 86_400 }))[0]], ['Page', await engine.listContacts(id)],
    ['ContactEnded', events['contact_completed'], 'type campaignId at'],
  ]
  for (const [name, record, inherited = ''] of records) {
    const here = declared('types', name)
    const there = Object.keys(record ?? assert.fail(name)).filter((field) => !inherited.split(' ').includes(field))
    assert.deepEqual(there.filter((field) => !here.includes(field)), [], `${name}: not declared`)
    // What may be absent is declared so.
    const body = text('campaign-node', 'dist', 'types.d.ts').split(new RegExp(`^export interface ${name}\\b`, 'm'))[1] ?? ''
    const absent = here.filter((field) => !there.includes(field) && !new RegExp(`^ {4}${field}\\?:`, 'm').test(body))
    assert.deepEqual(absent, [], `${name}: declared and not there`)
  }
  const spec = new Set([...declared('types', 'CampaignSpec'), ...declared('types', 'CampaignRecord')])
  assert.deepEqual(Object.keys(await engine.getCampaign(id)).filter((field) => !spec.has(field)), [], 'CampaignRecord: not declared')
  await engine.close()
})

test('the public surface has no `any` and is documented throughout', () => {
  const folder = join(root, 'campaign-node', 'dist')
  for (const name of ['index', 'engine', 'dialer', 'campaign', 'errors', 'events', 'store', 'types', 'testing', 'convert']) {
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
