-- Single messages are campaigns too, so there may be a million that have ended: what looks for those that run, or for the newest of one kind,
-- reads no others.
CREATE INDEX campaigns_status ON campaigns (status, organization);
CREATE INDEX campaigns_type ON campaigns (campaign_type);
CREATE INDEX campaigns_organization_type ON campaigns (organization, campaign_type);
