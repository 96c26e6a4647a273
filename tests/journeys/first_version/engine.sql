BEGIN TRANSACTION;
CREATE TABLE application_versions (
    version_id TEXT NOT NULL PRIMARY KEY,
    version_name TEXT NOT NULL UNIQUE,
    version_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    created_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
, "application_name" TEXT DEFAULT NULL);
INSERT INTO "application_versions" VALUES('3afcb619-9aa7-4b85-bfaf-fa4d6cce5fd1','book-import-1',1795980204000,1795980204000,'bookline');
CREATE TABLE dbos_migrations (version INTEGER NOT NULL PRIMARY KEY);
INSERT INTO "dbos_migrations" VALUES(125);
CREATE TABLE notifications (
    message_uuid TEXT NOT NULL DEFAULT (hex(randomblob(16))) PRIMARY KEY,
    destination_uuid TEXT NOT NULL,
    topic TEXT,
    message TEXT NOT NULL,
    created_at_epoch_ms INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000), "serialization" TEXT DEFAULT NULL, "consumed" BOOLEAN NOT NULL DEFAULT FALSE, consumed_by_function_id INTEGER,
    FOREIGN KEY (destination_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE "operation_outputs" (
    workflow_uuid TEXT NOT NULL,
    function_id INTEGER NOT NULL,
    function_name TEXT NOT NULL DEFAULT '',
    output TEXT,
    error TEXT,
    child_workflow_id TEXT,
    started_at_epoch_ms INTEGER,
    completed_at_epoch_ms INTEGER,
    serialization TEXT,
    application_name TEXT DEFAULT NULL,
    retention_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    PRIMARY KEY (workflow_uuid, function_id)
);
INSERT INTO "operation_outputs" VALUES('import-9780142437247-1795980205475-80EkZ5YjXeS1CIvR',1,'fetch-metadata','{"value":{"isbn":"9780142437247","isbn10":"0142437247","title":"Moby-Dick","subtitle":"or, The Whale","author":"Herman Melville","authors":["Herman Melville"],"description":"A restless sailor signs on to a whaling ship whose captain cares for one white whale only. Part adventure, part encyclopedia of the sea, it follows an obsession to its end.","publisher":"Penguin Classics","publicationDate":"2002-12-31","pageCount":720,"language":"en","categories":["Fiction"],"coverUrl":"http://127.0.0.1:46769/books/content?id=vERaA89R0eDp&printsec=frontcover&img=1&zoom=1&source=gbs_api","source":"google_books","sourceId":"vERaA89R0eDp"}}',NULL,NULL,1795980205511,1795980205573,'bookline_json','bookline',1795980205000);
INSERT INTO "operation_outputs" VALUES('import-9780812550702-1795980205589-QQrA9stmFHPp__tN',1,'fetch-metadata','{"error":{"code":"PROVIDER_ERROR","message":"Google Books answered 503"},"wakeMs":1795980205711,"delayMs":21}',NULL,NULL,1795980205625,1795980205700,'bookline_json','bookline',1795980205000);
INSERT INTO "operation_outputs" VALUES('import-9780441013593-1795980205630-w4tMDO-aok1o_RAH',1,'fetch-metadata','{"error":{"code":"PROVIDER_ERROR","message":"Google Books answered 503"},"wakeMs":1795980205711,"delayMs":21}',NULL,NULL,1795980205649,1795980205702,'bookline_json','bookline',1795980205000);
INSERT INTO "operation_outputs" VALUES('import-9780812550702-1795980205589-QQrA9stmFHPp__tN',2,'fetch-metadata','{"error":{"code":"PROVIDER_ERROR","message":"Google Books answered 503"},"wakeMs":1795980205757,"delayMs":41}',NULL,NULL,1795980205711,1795980205716,'bookline_json','bookline',1795980205000);
INSERT INTO "operation_outputs" VALUES('import-9780812550702-1795980205589-QQrA9stmFHPp__tN',3,'fetch-metadata','{"error":{"code":"PROVIDER_ERROR","message":"Google Books answered 503"},"wakeMs":1795980205829,"delayMs":64}',NULL,NULL,1795980205759,1795980205766,'bookline_json','bookline',1795980205000);
INSERT INTO "operation_outputs" VALUES('import-9780812550702-1795980205589-QQrA9stmFHPp__tN',4,'fetch-metadata','{"error":{"code":"PROVIDER_ERROR","message":"Google Books answered 503"},"wakeMs":null}',NULL,NULL,1795980205842,1795980205858,'bookline_json','bookline',1795980205000);
INSERT INTO "operation_outputs" VALUES('import-9780142437247-1795980205475-80EkZ5YjXeS1CIvR',2,'upload-cover','{"value":{"key":"covers/9780142437247.jpg","url":"/v2/covers/9780142437247?v=7848d273d0fb3d92","contentType":"image/jpeg","width":600,"height":900,"sha256":"7848d273d0fb3d92bc792f04e87853187cab014791a8df1a2c619209afa3f375","sourceUrl":"http://127.0.0.1:46769/books/content?id=vERaA89R0eDp&printsec=frontcover&img=1&zoom=1&source=gbs_api&fife=w800-h900","fetchedAt":"2026-11-29T19:23:25.894Z"}}',NULL,NULL,1795980205588,1795980205896,'bookline_json','bookline',1795980205000);
INSERT INTO "operation_outputs" VALUES('import-9780142437247-1795980205475-80EkZ5YjXeS1CIvR',3,'generate-embedding','{"value":{"embedding":{"model":"wordllama-l2-supercat-256","dimensions":256,"vector":"hHAeviifaz1EF4U8Q5K4PWpCu7vU5p493bhbPXrHbL2Knlu97wCVvRR9oD3k2hs+zzvgvKbUj70gk6i9R8zGvJmGkj1QVOU8X4qAvSb0KT2ePw8+7FpvvR1yZL3ldue8JH+zPUeXD7rO/we9mbsyOxehgzwb3SM9pkCnvOr0Wr3gR3c8NHyivQmsCr44fai6isVuPfl+d70ABZk8qzTFPTQIkT08D7S9s3XXPXBxUT3+les8hFzRvZabDr5PwHI9Dgpsu0H52zxsPy69o5t6PTpo/r1/Og0+W2qMPboSvr2urkU9Tzv/vE8SUD3xs2e9IygHvX6prb3t8qm8vrgMvb7C8zttro87gBc0vT3BdT2Fjbm9xizVvPOwWjy0w4g8DZNzPf3VgTwfHHE8xQ9PPaymfz0TZ8w9V79mPI5gQb2NkLG8HLZGPE35Er2iM7w91EXYvD+hmb36yqw93VCBPKH3Hz39FX69L1/CO6qdTj0e1kC8uFHbvSarWbxvdJO8Z/LBvH+y6bzlvAQ7eyddvYTJP7zcDdU9/3G9vUypED3wHJ49jSBsvFtI/70nvAA+XbaWPS9RU72O+kS9zYEVPnNp3LwgnQK9e+LXve5UT72L4ik8auEbu3B0uT2x8BC+zbHiPcSrzj1gEwm9AL+APdzQ77zO2Q29Ir0avYlrmTwurp48VZi8OiA6Mj3ZDmO9/P90PZDT0DsjjPs800alva8MAD28X9e8rHF9PIP19rw8e5I9r6MvvURxlLtMhPA91h0mPTTURD2XhpA9CE7MvSJ2Dr1XHti9UEOdPEr+gT0lCxi78quOPZ4t473uTmw8HxYwPelKNTweWRG9HyyQPfyQLLw6Aig99gZOvEypzDwi1pQ99i6BO06GQjsxTO87cXdSvFVMgD1SABY9YbKxvCbdF742ikw9z7ZdPRh0u70iHaW9Mvh6Pc9UTz35PBM9BnMbPTSFEb1n1Mu8Q7ogPa7DKD2IZbK6oEWBvX7zbL12jHM82MwMveOM9TzY7Zc8dUsjvrZsfr2CmHI8390BPQZNADu8rM09MCfSvUzrjjxJEj+9i33CvFzF5TvrOUi8w7nKvb4wD73O4TC9cDyuPL0SQ72WyyQ7BqxCvV4VIL5PHbm7jqRhvdV9ub2PBwo+0NGnvOrsqb30GSK9zYu+vKWklzwQYBY+40kxvLChXr2Agao9W85Evfzobz3I0tW9fPBevXeB4Txo8w691v1xvX8gIzxDDyA9nWyqPOQfgro8w8Y9ZW3yO/4rSr3FK568HmARPHLdiz2JQgq8HN3CPHYHMz2EJDU9yNAivbwIED2/W1A8nJC2vRFn0z1w28Y78fgRPLJi8Lwa3yA9QpgGvQ=="}}}',NULL,NULL,1795980205900,1795980205905,'bookline_json','bookline',1795980205000);
INSERT INTO "operation_outputs" VALUES('import-9780142437247-1795980205475-80EkZ5YjXeS1CIvR',4,'save-to-database','{"value":{"storedIn":"database","hasEmbedding":true}}',NULL,NULL,1795980205909,1795980205913,'bookline_json','bookline',1795980205000);
INSERT INTO "operation_outputs" VALUES('import-9780061120084-1795980205939-LCfAA7JSHQ4Cs7Bl',1,'fetch-metadata','{"error":{"code":"PROVIDER_RATE_LIMITED","message":"Google Books answered 429: the quota is used up"},"wakeMs":1795980265949,"delayMs":60000}',NULL,NULL,1795980205942,1795980205950,'bookline_json','bookline',1795980205000);
CREATE TABLE queues (
    queue_id TEXT PRIMARY KEY DEFAULT (hex(randomblob(16))),
    name TEXT NOT NULL UNIQUE,
    concurrency INTEGER,
    worker_concurrency INTEGER,
    rate_limit_max INTEGER,
    rate_limit_period_sec REAL,
    priority_enabled BOOLEAN NOT NULL DEFAULT FALSE,
    partition_queue BOOLEAN NOT NULL DEFAULT FALSE,
    polling_interval_sec REAL NOT NULL DEFAULT 1.0,
    created_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    updated_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
, "application_name" TEXT DEFAULT NULL, "partition_concurrency" INTEGER DEFAULT NULL, "partition_worker_concurrency" INTEGER DEFAULT NULL, "partition_rate_limit_max" INTEGER DEFAULT NULL, "partition_rate_limit_period_sec" REAL DEFAULT NULL);
CREATE TABLE streams (
    workflow_uuid TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    "offset" INTEGER NOT NULL, function_id INTEGER NOT NULL DEFAULT 0, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, key, "offset"),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE workflow_events (
    workflow_uuid TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, key),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid) 
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE workflow_events_history (
    workflow_uuid TEXT NOT NULL,
    function_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL, "serialization" TEXT DEFAULT NULL,
    PRIMARY KEY (workflow_uuid, function_id, key),
    FOREIGN KEY (workflow_uuid) REFERENCES workflow_status(workflow_uuid)
        ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE TABLE workflow_input (
    workflow_uuid TEXT NOT NULL PRIMARY KEY,
    inputs TEXT,
    retention_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
);
INSERT INTO "workflow_input" VALUES('import-9780142437247-1795980205475-80EkZ5YjXeS1CIvR','{"args":[{"jobId":"import-9780142437247-1795980205475-80EkZ5YjXeS1CIvR","isbn":"9780142437247","inputIsbn":"9780142437247","source":"google_books","userId":null}],"kwargs":{}}',1795980205000);
INSERT INTO "workflow_input" VALUES('import-9780812550702-1795980205589-QQrA9stmFHPp__tN','{"args":[{"jobId":"import-9780812550702-1795980205589-QQrA9stmFHPp__tN","isbn":"9780812550702","inputIsbn":"9780812550702","source":"google_books","userId":null}],"kwargs":{}}',1795980205000);
INSERT INTO "workflow_input" VALUES('import-9780441013593-1795980205630-w4tMDO-aok1o_RAH','{"args":[{"jobId":"import-9780441013593-1795980205630-w4tMDO-aok1o_RAH","isbn":"9780441013593","inputIsbn":"9780441013593","source":"google_books","userId":null}],"kwargs":{}}',1795980205000);
INSERT INTO "workflow_input" VALUES('import-9780061120084-1795980205939-LCfAA7JSHQ4Cs7Bl','{"args":[{"jobId":"import-9780061120084-1795980205939-LCfAA7JSHQ4Cs7Bl","isbn":"9780061120084","inputIsbn":"9780061120084","source":"google_books","userId":null}],"kwargs":{}}',1795980205000);
CREATE TABLE workflow_output (
    workflow_uuid TEXT NOT NULL PRIMARY KEY,
    output TEXT,
    error TEXT,
    retention_timestamp INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000)
);
INSERT INTO "workflow_output" VALUES('import-9780812550702-1795980205589-QQrA9stmFHPp__tN','{"run":1,"status":"failed","error":{"code":"PROVIDER_ERROR","message":"Google Books answered 503","step":"fetch-metadata","attempts":4}}',NULL,1795980205000);
INSERT INTO "workflow_output" VALUES('import-9780142437247-1795980205475-80EkZ5YjXeS1CIvR','{"run":1,"status":"completed","result":{"success":true,"isbn":"9780142437247","title":"Moby-Dick","source":"google_books","saved":true,"storedIn":"database","coverR2Key":"covers/9780142437247.jpg","coverUrl":"/v2/covers/9780142437247?v=7848d273d0fb3d92","hasEmbedding":true,"warnings":[]}}',NULL,1795980205000);
CREATE TABLE workflow_schedules (
    schedule_id TEXT PRIMARY KEY,
    schedule_name TEXT NOT NULL UNIQUE,
    workflow_name TEXT NOT NULL,
    workflow_class_name TEXT,
    schedule TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'ACTIVE',
    context TEXT NOT NULL
, "last_fired_at" TEXT DEFAULT NULL, "automatic_backfill" BOOLEAN NOT NULL DEFAULT FALSE, "cron_timezone" TEXT DEFAULT NULL, "queue_name" TEXT DEFAULT NULL, "application_name" TEXT DEFAULT NULL);
CREATE TABLE workflow_status (
    workflow_uuid TEXT PRIMARY KEY,
    status TEXT,
    name TEXT,
    authenticated_user TEXT,
    assumed_role TEXT,
    authenticated_roles TEXT,
    request TEXT,
    output TEXT,
    error TEXT,
    executor_id TEXT,
    created_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    updated_at INTEGER NOT NULL DEFAULT (strftime('%s','now') * 1000),
    application_version TEXT,
    application_id TEXT,
    class_name TEXT DEFAULT NULL,
    config_name TEXT DEFAULT NULL,
    recovery_attempts INTEGER DEFAULT 0,
    queue_name TEXT,
    workflow_timeout_ms INTEGER,
    workflow_deadline_epoch_ms INTEGER,
    inputs TEXT,
    started_at_epoch_ms INTEGER,
    deduplication_id TEXT,
    priority INTEGER NOT NULL DEFAULT 0
, queue_partition_key TEXT, forked_from TEXT, "owner_xid" TEXT DEFAULT NULL, "parent_workflow_id" TEXT DEFAULT NULL, "serialization" TEXT DEFAULT NULL, "delay_until_epoch_ms" BIGINT DEFAULT NULL, "was_forked_from" BOOLEAN NOT NULL DEFAULT FALSE, "rate_limited" BOOLEAN NOT NULL DEFAULT FALSE, "completed_at" BIGINT, "attributes" TEXT, "schedule_name" TEXT, "debounce_deadline_epoch_ms" BIGINT DEFAULT NULL, "is_debounced" BOOLEAN NOT NULL DEFAULT FALSE, "application_name" TEXT DEFAULT NULL, "creator_xid" TEXT DEFAULT NULL);
INSERT INTO "workflow_status" VALUES('import-9780142437247-1795980205475-80EkZ5YjXeS1CIvR','SUCCESS','book-import',NULL,NULL,NULL,NULL,NULL,NULL,'node-d58ce9ce557a457c',1795980205000,1795980205000,'book-import-1','',NULL,NULL,1,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,'bookline_json',NULL,0,0,1795980205000,'null',NULL,NULL,0,'bookline','cdd6b4fc-ece0-4acb-8546-3b798d6129ec');
INSERT INTO "workflow_status" VALUES('import-9780812550702-1795980205589-QQrA9stmFHPp__tN','SUCCESS','book-import',NULL,NULL,NULL,NULL,NULL,NULL,'node-d58ce9ce557a457c',1795980205000,1795980205000,'book-import-1','',NULL,NULL,1,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,'bookline_json',NULL,0,0,1795980205000,'null',NULL,NULL,0,'bookline','1a460a84-509d-4388-8e58-ad9578ff6bbd');
INSERT INTO "workflow_status" VALUES('import-9780441013593-1795980205630-w4tMDO-aok1o_RAH','PENDING','book-import',NULL,NULL,NULL,NULL,NULL,NULL,'node-d58ce9ce557a457c',1795980205000,1795980205000,'book-import-1','',NULL,NULL,1,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,'cc9e269d-5a65-47bd-bf0e-ad29465c2158',NULL,'bookline_json',NULL,0,0,NULL,'null',NULL,NULL,0,'bookline','cc9e269d-5a65-47bd-bf0e-ad29465c2158');
INSERT INTO "workflow_status" VALUES('import-9780061120084-1795980205939-LCfAA7JSHQ4Cs7Bl','PENDING','book-import',NULL,NULL,NULL,NULL,NULL,NULL,'node-d58ce9ce557a457c',1795980205000,1795980205000,'book-import-1','',NULL,NULL,1,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,'6c013d0d-b250-45d8-9a83-338ae8683333',NULL,'bookline_json',NULL,0,0,NULL,'null',NULL,NULL,0,'bookline','6c013d0d-b250-45d8-9a83-338ae8683333');
CREATE INDEX workflow_status_created_at_index ON workflow_status (created_at);
CREATE INDEX idx_workflow_topic ON notifications (destination_uuid, topic);
CREATE INDEX "idx_workflow_status_delayed" ON "workflow_status" ("delay_until_epoch_ms") WHERE status = 'DELAYED';
CREATE INDEX "idx_workflow_status_forked_from" ON "workflow_status" ("forked_from") WHERE "forked_from" IS NOT NULL;
CREATE INDEX "idx_workflow_status_parent_workflow_id" ON "workflow_status" ("parent_workflow_id") WHERE "parent_workflow_id" IS NOT NULL;
CREATE UNIQUE INDEX "uq_workflow_status_dedup_id" ON "workflow_status" ("queue_name", "deduplication_id") WHERE "deduplication_id" IS NOT NULL;
CREATE INDEX "idx_workflow_status_pending" ON "workflow_status" ("created_at") WHERE "status" = 'PENDING';
CREATE INDEX "idx_workflow_status_failed" ON "workflow_status" ("status", "created_at") WHERE "status" IN ('ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED');
CREATE INDEX "idx_workflow_status_rate_limited" ON "workflow_status" ("queue_name", "started_at_epoch_ms") WHERE "rate_limited" = TRUE;
CREATE INDEX "idx_workflow_status_completed_at" ON "workflow_status" ("completed_at") WHERE "completed_at" IS NOT NULL;
CREATE INDEX "idx_workflow_status_started_at" ON "workflow_status" ("started_at_epoch_ms") WHERE "started_at_epoch_ms" IS NOT NULL;
CREATE INDEX "idx_workflow_status_schedule_name" ON "workflow_status" ("schedule_name") WHERE "schedule_name" IS NOT NULL;
CREATE UNIQUE INDEX "uq_application_versions_owner_version"
    ON application_versions ("application_name", "version_name")
    WHERE "application_name" IS NOT NULL;
CREATE UNIQUE INDEX "uq_application_versions_unclaimed_version"
    ON application_versions ("version_name")
    WHERE "application_name" IS NULL;
CREATE INDEX idx_workflow_input_retention
    ON workflow_input (retention_timestamp);
CREATE INDEX idx_workflow_output_retention
    ON workflow_output (retention_timestamp);
CREATE INDEX idx_operation_outputs_retention
    ON operation_outputs (retention_timestamp);
CREATE INDEX "idx_workflow_status_in_flight_v2" ON "workflow_status" ("queue_name", "status", "priority", "created_at", "application_name") WHERE "status" IN ('ENQUEUED', 'PENDING');
CREATE INDEX "idx_workflow_status_partition_dequeue_v3" ON "workflow_status" ("queue_name", "status", "queue_partition_key", "priority", "created_at", "workflow_uuid", "application_name") WHERE "status" IN ('ENQUEUED', 'PENDING') AND "queue_partition_key" IS NOT NULL;
CREATE INDEX "idx_operation_outputs_completed_at_function_name_v2" ON "operation_outputs" ("completed_at_epoch_ms", "function_name", "application_name");
CREATE INDEX "idx_workflow_status_deadline" ON "workflow_status" ("workflow_deadline_epoch_ms") WHERE "status" IN ('ENQUEUED', 'PENDING', 'DELAYED') AND "workflow_deadline_epoch_ms" IS NOT NULL;
CREATE INDEX "idx_application_versions_timestamp" ON "application_versions" ("version_timestamp" DESC);
CREATE INDEX "idx_application_versions_owner_timestamp" ON "application_versions" ("application_name", "version_timestamp" DESC);
COMMIT;
PRAGMA user_version=0;
