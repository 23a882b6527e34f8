"""The Kusto sink, a file for each station of the road.

    config   what may be asked for       sink       assembles the stations
    columns  Flink type -> Kusto type    encode     batches -> Parquet
    stage    Parquet -> sealed parts     destination  what a slice's commit needs
    command  transaction -> KQL          client     one request, one answer
    ingest   submit and follow           evidence   extents -> rows
    preflight  is the target fit         target     assembles the second phase

`config` and `sink` import neither pyarrow nor azure, so that a job can be put together where they
are not installed; the stations are imported when they are first needed.
"""
