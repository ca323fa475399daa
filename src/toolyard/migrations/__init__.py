"""The history of the database's tables: one line of migrations, each with one purpose."""
