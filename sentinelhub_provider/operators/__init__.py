"""Tasks that use Sentinel Hub. Cheap to import: every DAG file that names one is parsed again and again."""
