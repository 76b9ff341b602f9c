-- The contract: objects, columns and types as the README has them.
SELECT table_name, column_name, ordinal_position AS place,
       data_type || CASE WHEN is_nullable = 'NO' THEN ' not null' ELSE '' END AS type
  FROM information_schema.columns
 WHERE table_schema = 'pgfed'
 ORDER BY table_name, ordinal_position;

SELECT p.oid::regprocedure AS function, pg_get_function_arguments(p.oid) AS arguments,
       pg_get_function_result(p.oid) AS result
  FROM pg_proc p
 WHERE pronamespace = 'pgfed'::regnamespace AND proname NOT LIKE '\_%'
 ORDER BY proname COLLATE "C";

-- Everything has a comment (but for the row types of relations, which are members since version 17).
SELECT pg_describe_object(classid, objid, 0) AS object_without_comment
  FROM pg_depend
 WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND classid <> 'pg_type'::regclass
   AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pgfed')
   AND obj_description(objid, classid::regclass::name) IS NULL
 ORDER BY 1;
SELECT attrelid::regclass AS relation, attname AS column_without_comment
  FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
 WHERE relnamespace = 'pgfed'::regnamespace AND relkind IN ('r', 'v') AND attnum > 0
   AND col_description(attrelid, attnum) IS NULL
 ORDER BY 1, attnum;

-- Everything in the schema belongs to the extension.
SELECT c.oid::regclass AS relation_apart FROM pg_class c
 WHERE relnamespace = 'pgfed'::regnamespace AND relkind IN ('r', 'v', 'S', 'm', 'f', 'p')
   AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid
                      AND deptype = 'e');
SELECT p.oid::regprocedure AS function_apart FROM pg_proc p
 WHERE pronamespace = 'pgfed'::regnamespace
   AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid
                      AND deptype = 'e');

-- Nothing runs with its owner's rights, all is C, and what runs SQL has its search_path pinned.
SELECT proname, prosecdef, proconfig
  FROM pg_proc JOIN pg_language l ON l.oid = prolang
 WHERE pronamespace = 'pgfed'::regnamespace AND (prosecdef OR proconfig IS NOT NULL OR lanname <> 'c')
 ORDER BY proname COLLATE "C";

-- What pg_dump takes along.
SELECT unnest(extconfig)::regclass AS dumped FROM pg_extension WHERE extname = 'pgfed' ORDER BY 1;
