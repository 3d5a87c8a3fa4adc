// The shortest whole program: a list, a campaign, a carrier that exists only here.
import { Engine, SimulatedDialer } from 'campaign-node'

const engine = await Engine.open('sqlite://campaigns.db', { dialer: SimulatedDialer.instant() })
const campaign = await engine.createCampaign({
  name: 'Reminders',
  welcomeMessageTemplate: 'Hi {{ name|title_case }}, this is {{ assistant_name }}.',
  fallbackValues: { name: 'there' },
  concurrentLimit: 50,
  rateLimitPerMinute: 600,
  timeZone: 'America/New_York',
})
const report = await engine.addContacts(campaign.id, [
  { phoneNumber: '(212) 555-0123', name: 'ada' },
  { phoneNumber: '+1 212 555 0124', name: 'bob' },
  { phoneNumber: 'none' },
], { defaultRegion: 'US' })
console.log(`${report.imported} imported, ${report.invalid} refused: ${report.errors[0]?.reason}`)

await engine.start(campaign.id)
for await (const event of engine.events(campaign.id)) {
  if (event.type === 'contact_completed') console.log(`contact ${event.contactId}: ${event.disposition}`)
}
console.log(`${(await engine.progress(campaign.id)).successRate} % reached`)
await engine.close()
