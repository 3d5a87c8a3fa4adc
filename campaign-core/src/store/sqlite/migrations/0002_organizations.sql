-- Whose a campaign is; none: the program's own. Lists of one organisation are read from the index, newest first: it ends in the id.
ALTER TABLE campaigns ADD COLUMN organization INTEGER;
CREATE INDEX campaigns_organization ON campaigns (organization);

-- In `suppressions`, a scope below 0 is from now on minus an organisation's id.
