-- Whose a campaign is; none: the program's own. Lists of one organisation are read from the index, newest first.
ALTER TABLE campaigns ADD COLUMN organization bigint;
CREATE INDEX campaigns_organization ON campaigns (organization, id);

-- In `suppressions`, a scope below 0 is from now on minus an organisation's id.
