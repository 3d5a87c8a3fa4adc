// A process that ends at an awkward moment, chosen by its argument. Its status must be 0 all the same.
import { Worker, isMainThread } from 'node:worker_threads'
import { Engine, SimulatedDialer, type Dialer } from 'campaign-node'
import { MemoryStore } from './memory-store.js'

const never = new Promise<never>(() => undefined)
const people = (count: number): Record<string, string>[] =>
  Array.from({ length: count }, (_, index) => ({ phone_number: `+1212555${String(1000 + index)}` }))
const spec = { name: 'x', concurrentLimit: 'unlimited', rateLimitPerMinute: 'unlimited' } as const
const soon = (): void => void setTimeout(() => process.exit(0), Math.random() * 40)

async function running(dialer: Dialer | SimulatedDialer, store: string | MemoryStore = 'memory://', count = 200): Promise<[Engine, number]> {
  const engine = await Engine.open(store, { dialer })
  const { id } = await engine.createCampaign(spec)
  await engine.addContacts(id, people(count))
  await engine.start(id)
  return [engine, id]
}

const moments: Record<string, () => unknown> = {
  'while it opens': () => {
    void Engine.open('sqlite::memory:', { dialer: { dial: () => 'answered' } })
    process.exit(0)
  },
  'with an idle engine that nobody closes': () => Engine.open('sqlite::memory:', { dialer: { dial: () => 'answered' } }),
  'while it imports': async () => {
    const engine = await Engine.open('sqlite::memory:', { dialer: new SimulatedDialer() })
    const { id } = await engine.createCampaign(spec)
    void engine.addContacts(id, people(8000))
    soon()
  },
  'while a stream is read': async () => {
    const engine = await Engine.open('memory://', { dialer: new SimulatedDialer() })
    const { id } = await engine.createCampaign(spec)
    void engine.importContacts(id, (async function* () { yield 'phone\n'; soon(); await never; yield '' })())
  },
  'inside of a dial': () => running({ dial: () => process.exit(0) }),
  'with dials that go on': async () => {
    await running({ dial: () => never })
    soon()
  },
  'with dials that come and go': async () => {
    await running({ dial: () => new Promise((resolve) => setTimeout(() => resolve('answered'), Math.random() * 20)) }, 'sqlite::memory:', 2000)
    soon()
  },
  'with the simulated carrier': async () => {
    await running(new SimulatedDialer({ profile: 'instant' }), 'sqlite::memory:', 4000)
    soon()
  },
  'while it closes': async () => {
    const [engine] = await running({ dial: () => never })
    void engine.close()
    soon()
  },
  'after it closed': async () => {
    const [engine, id] = await running({ dial: () => 'answered' })
    await engine.wait(id)
    await engine.close()
  },
  'after the end of a campaign that nobody closes': async () => {
    const [engine, id] = await running({ dial: () => 'answered' })
    await engine.wait(id)
  },
  'inside of a loop over events': async () => {
    const [engine, id] = await running({ dial: () => 'answered' })
    for await (const event of engine.events(id)) if (event.type === 'contact_completed') process.exit(0)
  },
  'with a store of one’s own': async () => {
    await running({ dial: () => 'answered' }, new MemoryStore(), 30)
    soon()
  },
  'while a campaign of one’s own decides': async () => {
    const engine = await Engine.open('memory://', { dialer: { dial: () => 'answered' }, campaigns: { own: { next: () => never } } })
    const { id } = await engine.createCampaign({ ...spec, campaignType: 'own' })
    await engine.addContacts(id, people(5))
    await engine.start(id)
    soon()
  },
  'while it simulates': async () => {
    const engine = await Engine.open('memory://', { dialer: new SimulatedDialer() })
    const { id } = await engine.createCampaign(spec)
    await engine.addContacts(id, people(2000))
    void engine.simulate(id)
    soon()
  },
  'with a worker thread that works': () => {
    const worker = new Worker(__filename, { argv: ['with dials that never end'] })
    worker.once('message', soon)
    worker.once('online', soon)
  },
  'after a worker thread was ended': () => {
    const worker = new Worker(__filename, { argv: ['with dials that never end'] })
    setTimeout(() => void worker.terminate(), Math.random() * 120)
    worker.once('exit', () => process.exit(0))
  },
  'with an abort': async () => {
    const [engine] = await running({ dial: () => never })
    engine.abort()
  },
}

const moment = process.argv[2] ?? ''
if (moment === 'list') process.stdout.write(JSON.stringify(Object.keys(moments)))
else if (moment === 'with dials that never end' && !isMainThread) void running({ dial: () => never })
else void moments[moment]?.()
