-- What the agent's role may do, and nothing more. PostgreSQL 13 and later.
--
-- Run as a superuser on the primary, in the database that the agent's file names as `postgres.dbname`
-- (EXECUTE grants count in that database only); standbys receive it by replication:
--
--   psql -d postgres -f grants.sql
--
-- The role has no password here. Give it peer authentication over the socket (pg_hba.conf:
-- `local postgres pointsman peer`, with a map in pg_ident.conf when the agent runs under another name), or set
-- a password and name its file in the agent's configuration. Who holds this role can promote the standby.

\set ON_ERROR_STOP on

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pointsman') THEN
    -- REPLICATION: to make slots for followers, and for standbys that stream with this role.
    CREATE ROLE pointsman LOGIN REPLICATION;
  END IF;
  -- pg_monitor: without it the replication views show nothing but process numbers.
  -- pg_signal_backend: queries that conflict with replay can be ended.
  GRANT pg_monitor, pg_signal_backend TO pointsman;
  IF current_setting('server_version_num')::int >= 150000 THEN
    -- The checkpoint after a promotion, which later rewinds need.
    GRANT pg_checkpoint TO pointsman;
    -- Follow and promote change these and no other setting. Before 15 the role must be a superuser for that.
    GRANT ALTER SYSTEM ON PARAMETER primary_conninfo, primary_slot_name, synchronous_standby_names TO pointsman;
  END IF;
  IF current_setting('server_version_num')::int >= 160000 THEN
    -- A server that is out of connections can still be looked at.
    GRANT pg_use_reserved_connections TO pointsman;
  END IF;
END
$$;

GRANT EXECUTE ON FUNCTION
  pg_promote(boolean, integer),
  pg_reload_conf()
TO pointsman;
