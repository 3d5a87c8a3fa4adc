# %% [markdown]
# What a campaign came to, as a notebook: open this file in an editor that knows cells, or run it as it is.
# Every record shows itself as a table when it is the last value of a cell.

# %%
import campaign

engine = campaign.BlockingEngine.open("memory://", dialer=campaign.SimulatedDialer(seed=3, speed=100_000))
spring = engine.create_campaign(
    name="Spring", campaign_type="call", max_attempts=1, concurrent_limit=200, rate_limit_per_minute="unlimited"
)
spring

# %%
people = [{"phone": f"+1212555{number:04}", "name": f"Person {number}", "plan": "gold"} for number in range(100, 300)]
report = engine.import_contacts(spring.id, people)
report

# %% Before a cent is spent: what would happen?
foreseen = engine.simulate(spring.id, seed=3)
print(f"about {foreseen.cost['expected']:.2f} for {foreseen.attempts} calls, at most {foreseen.peak_concurrency} at once")

# %%
engine.start(spring.id)
progress = engine.wait(spring.id, progress=True)
progress

# %% Frames go in and come out.
frame = engine.executions(spring.id, limit=10_000).to_pandas()
print(frame.groupby("disposition").agg(calls=("id", "count"), seconds=("duration_seconds", "sum"), cost=("cost", "sum")))

# %%
engine.close()
